"""Times from the service, and durations in words."""

from __future__ import annotations

from datetime import datetime, timezone

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def first_time(*values: object) -> datetime:
    """The first value that is a time; now if none is."""
    return next((value for value in values if isinstance(value, datetime)), now())


def now() -> datetime:
    """The current time in UTC; like botocore's times, it has a time zone."""
    return datetime.now(timezone.utc)


def in_words(seconds: float) -> str:
    """A duration in its largest unit, for people: `40 s`, `2 min`, `3 h`, `5 d`."""
    whole = max(0, int(seconds))
    for unit, length in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if whole >= length:
            return f"{whole // length} {unit}"
    return f"{whole} s"
