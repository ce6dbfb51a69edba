"""When to let the agent's messages gather, so that one wake-up serves several of them.

The agent sends about 700 messages a second, of 1,024 bytes at most, and an own wake-up costs more
than all other work for a message. So a bulk transfer waits for a few milliseconds between two
reads. What is not bulk never waits: the agent reads from its target as much as is there, so a
message that is not full brings the last byte that the target has sent. A keystroke's echo is one.

The bounds: `LONGEST_S`, and a small part of the time since the transfer began, so that the end of
a short answer comes only a little later. Our acks wait as long, and the agent sends the oldest
message again if it has no ack within its timeout. That timeout follows our delays: it is the mean,
and four times the mean deviation, but at least 10 ms, more (A: datachannel.go:661-684). For delays
of 0 to 12 ms that makes 18 ms.
"""

from __future__ import annotations

from typing import Final

FULL_BYTES: Final = 120 + 1024
"""A message with as many bytes as the agent reads at once (A: config.go:50)."""
LONGEST_S: Final = 0.012
_SHORTEST_S: Final = 0.002
"""A shorter wait would gather one message, or none."""
PART: Final = 32
_PAUSE_S: Final = 0.05
"""A longer pause ends a transfer; a busy machine may make us late for shorter ones."""
ENOUGH: Final = 16
"""So many messages in one read need not gather."""
_NEVER: Final = float("inf")


class Gather:
    """Decides how long to wait before the next read of one connection.

    Attributes:
        until: when to read again; infinity while there is no wait.
    """

    def __init__(self) -> None:
        self.until = _NEVER
        self._began = _NEVER
        self._last = -_NEVER

    def over(self, now: float) -> bool:
        """Whether a wait has just ended: then read."""
        if now < self.until:
            return False
        self.until = _NEVER
        return True

    def took(self, messages: list[bytes], now: float) -> None:
        """Note what a read has brought, and begin a wait if it is a part of a bulk transfer."""
        self.until = _NEVER
        if not messages or len(messages[-1]) < FULL_BYTES:
            self._began = _NEVER
            return
        if self._began == _NEVER or now - self._last > _PAUSE_S:
            self._began = now
        self._last = now
        wait = min(LONGEST_S, (now - self._began) / PART)
        if wait >= _SHORTEST_S and len(messages) < ENOUGH:
            self.until = now + wait
