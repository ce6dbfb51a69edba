"""Acknowledgements: those that wait to be sent, and the latest ones, which the agent may miss.

The agent resends only the oldest message it has no ack for, one in 100 ms (A: datachannel.go:
468-499). So each missed ack delays the messages that were really lost behind it by 100 ms. The
agent misses acks while its connection is down. It also misses an ack that arrives before it has
recorded the message as sent, which it does after sending (A: datachannel.go:445-459): on loopback
that happens to one ack in four.
"""

from __future__ import annotations

from collections import deque
from typing import Final

RECENT: Final = 1024
"""About one and a half seconds of the agent's messages at its own pace."""
LATE_S: Final = 0.5
"""If the agent resends a message at least so long after our ack, it missed the ack. A copy that
arrives earlier may just have crossed the ack."""
_NEVER: Final = float("-inf")


class Acks:
    """The acks of one session: waiting to be sent, or recent enough to be sent again."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._recent: deque[tuple[int, float, bytes]] = deque(maxlen=RECENT)
        """The number of each message, when its ack was made, and the ack."""
        self._repeated_at = _NEVER

    def __len__(self) -> int:
        """Number of acks that wait to be sent."""
        return len(self._waiting)

    def add(self, sequence: int, ack: bytes, now: float) -> None:
        """Acknowledge a new message."""
        self._recent.append((sequence, now, ack))
        self._waiting.append(ack)

    def add_again(self, sequence: int, ack: bytes, now: float) -> None:
        """Acknowledge a copy. If the agent missed the first ack, repeat all later ones too."""
        first = next((then for number, then, _ in self._recent if number == sequence), _NEVER)
        if first == _NEVER:
            self._recent.append((sequence, now, ack))
        self._waiting.append(ack)
        if now - max(first, self._repeated_at) >= LATE_S:
            self._repeated_at = now
            self._waiting += [later for number, _, later in self._recent if number > sequence]

    def repeat(self) -> None:
        """Send the latest acks again: they may have been lost with the old connection."""
        self._waiting = [ack for _, _, ack in self._recent]

    def take(self) -> list[bytes]:
        """The waiting acks, which count as sent from now on."""
        waiting, self._waiting = self._waiting, []
        return waiting
