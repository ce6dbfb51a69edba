"""The one exception of the lab's own machinery."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not be set up or broke; the text says why and what to do."""
