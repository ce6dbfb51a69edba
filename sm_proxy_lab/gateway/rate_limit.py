"""The service's limit on data messages: a pause first, then the cut."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

SLOTS = 10
# Seconds after the pause. A client that is still above the limit then is cut off.
PATIENCE = 0.5


class Verdict(Enum):
    """What to do about a rate."""

    FINE = auto()
    PAUSE = auto()
    CUT = auto()


class RateLimit:
    """Counts messages over the last second, in tenths."""

    def __init__(self) -> None:
        self._slots: deque[list[int]] = deque()
        self._sum = 0
        self._above_since: float | None = None
        self._paused = False

    def count(self, now: float, limit: int, grace: float) -> Verdict:
        """Count one message at the time `now`, in seconds.

        More than `limit` messages a second are allowed for `grace` seconds.
        """
        slot = int(now * SLOTS)
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append([slot, 0])
            while self._slots[0][0] <= slot - SLOTS:
                self._sum -= self._slots.popleft()[1]
        self._slots[-1][1] += 1
        self._sum += 1
        if self._sum <= limit:
            self._above_since = None
            self._paused = False
            return Verdict.FINE
        if self._above_since is None:
            self._above_since = now
        above = now - self._above_since
        if above > grace + PATIENCE:
            return Verdict.CUT
        if above > grace and not self._paused:
            self._paused = True
            return Verdict.PAUSE
        return Verdict.FINE
