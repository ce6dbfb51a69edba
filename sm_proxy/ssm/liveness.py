"""Is the connection alive? Pings, a deadline on silence, and the laptop that slept.

A machine that slept finds its connections dead without having heard so. The monotonic clock stands
still meanwhile on Linux and macOS, so the sleep shows as a jump of the wall clock against it. Then
one ping has to be answered soon, however recently something was heard by the monotonic clock.
Times are in seconds: `now` of the monotonic clock, `wall` of the wall clock.
"""

from __future__ import annotations

from typing import Final

PING_EVERY_S: Final = 20.0
SILENCE_DEADLINE_S: Final = 45.0
"""An inbound frame of any kind is due by then: pings are answered."""
AWAKE_DEADLINE_S: Final = 5.0
"""So long a pong may take after a sleep."""
CLOCK_CHECK_S: Final = 5.0
_JUMP_S: Final = 3.0


class Liveness:
    """The signs of life of one connection."""

    def __init__(self, now: float, wall: float) -> None:
        self._offset = wall - now
        self._ping_at = now + PING_EVERY_S
        self._silent_at = now + SILENCE_DEADLINE_S
        self._check_at = now + CLOCK_CHECK_S
        self._pong_wanted = False

    def heard(self, now: float) -> None:
        """Something came, or the peer was not listened to: silence says nothing then."""
        if not self._pong_wanted:
            self._silent_at = now + SILENCE_DEADLINE_S

    def pong(self, now: float) -> None:
        """A ping was answered."""
        self._pong_wanted = False
        self.heard(now)

    def lost(self, now: float) -> bool:
        """Whether nothing was heard for too long."""
        return now >= self._silent_at

    def ping_due(self, now: float, wall: float) -> bool:
        """Whether to send a ping now; the caller then does."""
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
        """When to look again."""
        return min(self._ping_at, self._silent_at, self._check_at)
