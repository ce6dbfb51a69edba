"""Hold the target's bytes back for a moment, to see whether the stream ends behind them.

An ssh server that got some bytes twice sends a disconnect message and closes. ssh exits at that
message, and then we can no longer print the cause. So we wait for the end before we pass it on.
"""

from __future__ import annotations

from typing import Final

HOLD_S: Final = 0.3
"""An agent forwards the end one or two milliseconds after the bytes before it."""
_NEVER: Final = float("inf")


class HeldBack:
    """Bytes on their way to the reader.

    Attributes:
        until: when to call `passed` if nothing new has arrived; infinity for never.
    """

    def __init__(self) -> None:
        self._held = b""
        self.until = _NEVER

    def passed(self, data: bytes, now: float, *, hold: bool) -> bytes:
        """The bytes to pass on now: all of them, or none while they are held back."""
        if not hold and not self._held:
            return data
        if data and not self._held:
            self.until = now + HOLD_S
        self._held += data
        if hold and now < self.until:
            return b""
        given, self._held = self._held, b""
        self.until = _NEVER
        return given
