"""Acknowledgements: those that wait to be sent, and the latest, should the agent have missed some.

The agent resends only the oldest message it has no ack for, one in 100 ms (A: datachannel.go:
468-499). So each ack that it missed holds up what was really lost behind it by 100 ms. It misses
those that come while its connection is down, and those that overtake its own note of having sent
the message, which it makes after sending (A: datachannel.go:445-459): on loopback one in four.
"""

from __future__ import annotations

from typing import Final

RECENT: Final = 1024
"""About one and a half seconds of the agent's messages at its own pace."""
LATE_S: Final = 0.5
"""An ack that went out so long ago and did not stop the agent from resending was missed; within a
round trip it may just have crossed the copy."""
_NEVER: Final = float("-inf")


class Acks:
    """What was acknowledged, and what of it is to be said (again)."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._recent: dict[int, tuple[float, bytes]] = {}
        self._repeated_at = _NEVER

    def __len__(self) -> int:
        """How many wait to be sent."""
        return len(self._waiting)

    def add(self, sequence: int, ack: bytes, now: float) -> None:
        """Acknowledge a message."""
        first, _ = self._recent.get(sequence, (now, ack))
        self._recent[sequence] = first, ack
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]
        self._waiting.append(ack)

    def add_again(self, sequence: int, ack: bytes, now: float) -> None:
        """Acknowledge a copy; if the agent missed the first ack, it missed later ones as well."""
        first, _ = self._recent.get(sequence, (_NEVER, ack))
        self.add(sequence, ack, now)
        if now - max(first, self._repeated_at) >= LATE_S:
            self._repeated_at = now
            recent = self._recent.items()
            self._waiting += [later for number, (_, later) in recent if number > sequence]

    def repeat(self) -> None:
        """The connection broke, and the latest may have been lost with it."""
        self._waiting = [ack for _, ack in self._recent.values()]

    def take(self) -> list[bytes]:
        """Those that wait; they count as sent."""
        waiting, self._waiting = self._waiting, []
        return waiting
