"""Numbers in what a machine prints: real ones fit into 64 bits, whatever the line claims."""

from __future__ import annotations

from typing import Final

_DIGITS: Final = 18


def is_count(text: str) -> bool:
    """Whether `text` is a whole number, not negative and of a size that occurs."""
    return text.isdecimal() and text.isascii() and len(text) <= _DIGITS
