"""Jobs with ssh switched on: what is asked of AWS, and the request that comes of it."""
