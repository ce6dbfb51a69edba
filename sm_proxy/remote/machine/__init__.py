"""Inspect a job's machine: a shell script runs there, its output is parsed on the laptop."""
