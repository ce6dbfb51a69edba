"""Durations in words, for people who wait."""

from __future__ import annotations

from typing import Final

_SHORT_S: Final = 10
_MINUTE_S: Final = 60


def precise(seconds: float) -> str:
    """`3.4s`, `33s`, `5m33s`, `2h05m`."""
    return f"{seconds:.1f}s" if seconds < _SHORT_S else whole(round(seconds))


def whole(seconds: int) -> str:
    """`3s`, `33s`, `5m33s`, `2h05m`."""
    minutes, rest = divmod(seconds, _MINUTE_S)
    hours, minutes = divmod(minutes, _MINUTE_S)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def limit(seconds: int) -> str:
    """The longest duration of a wait: `90s`, `15m`, `2h`; odd ones as in `whole`."""
    minutes, rest = divmod(seconds, _MINUTE_S)
    if rest or not minutes:
        return f"{seconds}s" if seconds < 2 * _MINUTE_S else whole(seconds)
    hours, odd = divmod(minutes, _MINUTE_S)
    return f"{hours}h" if hours and not odd else whole(seconds) if hours else f"{minutes}m"
