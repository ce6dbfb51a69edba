"""HTTP: requests into calls, replies and errors out."""
