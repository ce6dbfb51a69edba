"""CloudWatch Logs: groups, streams, pages of events."""
