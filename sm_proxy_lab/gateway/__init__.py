"""The session gateway: the service and the agent side of the SSM data channel in one process."""
