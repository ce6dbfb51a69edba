"""`Did you mean`: the known names that are close to what was typed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
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
    return question([f"{before}{name}" for name in close(typed, known)])


def question(names: Sequence[str]) -> str:
    """`Did you mean `list` or `last`?`, or nothing if there are no names.

    Args:
        names: what may be meant, the likeliest first.
    """
    if not names:
        return ""
    shown = [f"`{name}`" for name in names]
    words = f"{', '.join(shown[:-1])} or {shown[-1]}" if shown[1:] else shown[0]
    return f"Did you mean {words}?"
