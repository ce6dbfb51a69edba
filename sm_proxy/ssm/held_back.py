"""The target's last bytes, kept for a moment: does it end behind them?

An ssh server that got some bytes twice says goodbye and closes. ssh leaves at the goodbye, and once
it has gone nobody hears the cause from us: so the end is waited for before the goodbye is given.
"""

from __future__ import annotations

from typing import Final

HOLD_S: Final = 0.3
"""An agent passes an end on within a millisecond or two of the bytes before it."""
_NEVER: Final = float("inf")


class HeldBack:
    """Bytes on their way to the reader.

    Attributes:
        until: when `passed` is worth a call although nothing new has come; infinity for never.
    """

    def __init__(self) -> None:
        self._held = b""
        self.until = _NEVER

    def passed(self, data: bytes, now: float, *, hold: bool) -> bytes:
        """What the reader gets now: all there is, unless it is to be held back for a moment."""
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
