"""Is the connection alive? Pings, a deadline on silence, and a check after the laptop slept.

After a sleep connections are often dead, and nothing reports it. On Linux and macOS the monotonic
clock stops during a sleep, so the wall clock jumps ahead of it. After such a jump the peer must
answer one ping soon, even if the last frame seems recent by the monotonic clock.
Times are in seconds: `now` of the monotonic clock, `wall` of the wall clock.
"""

from __future__ import annotations

from typing import Final

PING_EVERY_S: Final = 20.0
SILENCE_DEADLINE_S: Final = 45.0
"""Some frame must arrive within this time, because the peer answers our pings."""
AWAKE_DEADLINE_S: Final = 5.0
"""How long a pong may take after a sleep."""
CLOCK_CHECK_S: Final = 5.0
_JUMP_S: Final = 3.0


class Liveness:
    """Decides when to ping one connection, and when it is dead."""

    def __init__(self, now: float, wall: float) -> None:
        self._offset = wall - now
        self._ping_at = now + PING_EVERY_S
        self._silent_at = now + SILENCE_DEADLINE_S
        self._check_at = now + CLOCK_CHECK_S
        self._pong_wanted = False

    def heard(self, now: float) -> None:
        """Something arrived, or we did not read: start the deadline on silence again."""
        if not self._pong_wanted:
            self._silent_at = now + SILENCE_DEADLINE_S

    def pong(self, now: float) -> None:
        """The peer answered a ping."""
        self._pong_wanted = False
        self.heard(now)

    def lost(self, now: float) -> bool:
        """Whether nothing arrived for too long."""
        return now >= self._silent_at

    def ping_due(self, now: float, wall: float) -> bool:
        """Whether the caller must send a ping now."""
        if abs(wall - now - self._offset) >= _JUMP_S:
            self._pong_wanted = True
            self._ping_at = now
            self._silent_at = min(self._silent_at, now + AWAKE_DEADLINE_S)
        self._offset = wall - now
        self._check_at = now + CLOCK_CHECK_S
        if now < self._ping_at:
            return False
        self._ping_at = now + PING_EVERY_S
        return True

    @property
    def deadline(self) -> float:
        """When to call `lost` and `ping_due` again."""
        return min(self._ping_at, self._silent_at, self._check_at)
