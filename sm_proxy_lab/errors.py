"""The lab's exception."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not start, or it broke; the text has the reason and what to do."""
