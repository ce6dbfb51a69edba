"""Many jobs at once: which can be reached, and which hosts run."""
