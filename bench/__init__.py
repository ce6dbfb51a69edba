"""Figures against what a user would pick instead: what was measured, how, and against what."""
