"""Inspect a job's machine: a shell script runs there, and its output is parsed on the laptop."""
