"""Files that outlive a run: the cache, journals, the log of connections, and open sessions."""
