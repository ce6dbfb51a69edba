"""What sm-proxy has put on this machine, and how to remove it."""
