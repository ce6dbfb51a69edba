"""The daemon: one process per user that answers each `connect` with a fork of itself."""
