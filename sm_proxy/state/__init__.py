"""What outlives a run: the cache, journals, the log of connections, the sessions that are open."""
