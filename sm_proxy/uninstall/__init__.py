"""What sm-proxy has put on this machine, and how to take it away again."""
