"""Numbers in a machine's output; one that does not fit into 64 bits is ignored."""

from __future__ import annotations

from typing import Final

_DIGITS: Final = 18


def is_count(text: str) -> bool:
    """Whether `text` is a non-negative whole number of a plausible size."""
    return text.isdecimal() and text.isascii() and len(text) <= _DIGITS
