"""Jobs with ssh switched on: the checks with AWS, and the changed request."""
