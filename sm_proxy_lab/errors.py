"""The lab's exceptions, and its messages on stderr."""

from __future__ import annotations

import sys


class LabError(Exception):
    """The lab could not start, or it broke; the text has the reason and what to do."""


class JobError(Exception):
    """One job cannot run, and fails; the text is its FailureReason."""


def report(text: str) -> None:
    """Print one line for the user."""
    sys.stderr.write(f"sm-proxy lab: {text}\n")
    sys.stderr.flush()
