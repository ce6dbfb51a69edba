"""SSM: instances, documents, and sessions that the gateway serves."""
