"""Durations as people type them: `90`, `90s`, `10m`, `2h`, `1d`.

The same grammar as in the container: see `parse_duration` in container/duration.sh.
"""

from __future__ import annotations

import re
from typing import Final

from sm_proxy.errors import printable

LONGEST_WAIT_S: Final = 28 * 24 * 60 * 60
"""The longest time a training job may run, in seconds: no wait needs more."""
LONGEST_LIFETIME_S: Final = (1 << 31) - 1
"""The longest lifetime that ssh-add takes, in seconds."""
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]{1,7})([smhd]?)")
_SHOWN: Final = 20


def parse(text: str, *, least: int = 0, most: int = LONGEST_WAIT_S) -> int:
    """The seconds that a duration stands for.

    Args:
        text: one to seven digits, then at most one unit; without a unit they are seconds.
        least: the shortest duration allowed, in seconds.
        most: the longest duration allowed, in seconds.

    Raises:
        ValueError: it is not a duration, or out of bounds. The message completes "... must be".
    """
    found = _DURATION.fullmatch(text)
    number = int(found[1]) * _UNITS[found[2]] if found else -1
    if not least <= number <= most:
        bounds = f"from {form(least)} to {form(most)}"
        shown = printable(text, _SHOWN)
        raise ValueError(f"a duration such as 90s, 10m, 2h or 1d, {bounds}, not {shown!r}")
    return number


def form(seconds: int) -> str:
    """The shortest way to write a duration: `90s`, `15m`, `28d`, `0`."""
    for unit in "dhm":
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s" if seconds else "0"
