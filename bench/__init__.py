"""Measurements against what a user would use instead; each names what it compares, and how."""
