"""Moments as the service gives them, and spans in words."""

from __future__ import annotations

from datetime import datetime, timezone

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def first_time(*values: object) -> datetime:
    """The first of these that is a time; now where none is."""
    return next((value for value in values if isinstance(value, datetime)), now())


def now() -> datetime:
    """The time, with its zone: botocore's times have theirs."""
    return datetime.now(timezone.utc)


def in_words(seconds: float) -> str:
    """A span in its largest unit: `40 s`, `2 min`, `3 h`, `5 d`."""
    whole = max(0, int(seconds))
    for unit, length in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if whole >= length:
            return f"{whole // length} {unit}"
    return f"{whole} s"
