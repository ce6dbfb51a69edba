"""Whether one more connection makes an upload faster: one session carries it at 26 MB/s already."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

TRIAL_S: Final = 2.0
"""How long each number of connections is tried."""
GAIN: Final = 1.2
"""The least by which one more must raise the rate, or no other follows."""


class Growth:
    """Asks for connections one by one, as long as each helped.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._before = 0
        self._best = 0.0
        self._over = False

    def wants_one(self, moved: int) -> bool:
        """Whether to open one more now; ask often.

        Args:
            moved: bytes so far.
        """
        seconds = self._clock() - self._since
        if self._over or seconds < TRIAL_S:
            return False
        rate = (moved - self._before) / seconds
        self._over = rate <= self._best * GAIN
        self._since, self._before, self._best = self._clock(), moved, rate
        return not self._over
