"""Start and stop the app of a Studio space."""
