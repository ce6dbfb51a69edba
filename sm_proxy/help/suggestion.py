"""`Did you mean`: the known names that are close to what was typed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

_MOST: Final = 3
_CLOSE: Final = 0.65
"""Ratio of difflib: `lst` and `list` have 0.86, `sync` and `stop` 0.5."""


def close(typed: str, known: Iterable[str]) -> list[str]:
    """The known names that are close, the closest first; at most three.

    Args:
        typed: by the user.
        known: all that could have been meant.
    """
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(typed.lower()[:256], by_lower, _MOST, _CLOSE)
    return [by_lower[name] for name in found]


def sentence(typed: str, known: Iterable[str], before: str = "") -> str:
    """`Did you mean `list`?`, or nothing.

    Args:
        typed: by the user.
        known: all that could have been meant; the caller makes hostile names printable.
        before: words to show before each name, such as `sm-proxy `.
    """
    found = [f"`{before}{name}`" for name in close(typed, known)]
    if not found:
        return ""
    words = f"{', '.join(found[:-1])} or {found[-1]}" if found[1:] else found[0]
    return f"Did you mean {words}?"
