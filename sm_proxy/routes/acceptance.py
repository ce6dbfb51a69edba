"""Whether ssh has accepted the server's host key, read from what ssh sends in the clear.

Up to its NEWKEYS message a client's packets are not encrypted, and it sends that one only after it
has verified the server's key (RFC 4253, sections 6, 7.3 and 8). So an ssh that leaves without it
did not find the host it was told to expect.
"""

from __future__ import annotations

from typing import Final

_NEWKEYS: Final = 21
_LIMIT: Final = 1 << 16


class Acceptance:
    """Feed it what ssh sends; `given` turns true with NEWKEYS, or when this is no SSH."""

    def __init__(self) -> None:
        self.given = False
        self._buffer = bytearray()
        self._greeted = False

    def feed(self, data: bytes) -> None:
        """Look at more of what ssh sends."""
        if self.given:
            return
        self._buffer += data
        while not self.given and self._take():
            pass
        if len(self._buffer) > _LIMIT:
            self.given = True

    def _take(self) -> bool:
        """Take one line of the greeting or one packet; False until there is a whole one."""
        if not self._greeted:
            return self._take_line()
        length = int.from_bytes(self._buffer[:4], "big")
        if len(self._buffer) < 6 or len(self._buffer) < 4 + length:
            return False
        self.given = self._buffer[5] == _NEWKEYS
        del self._buffer[: 4 + length]
        return True

    def _take_line(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            return False
        self._greeted = self._buffer.startswith(b"SSH-")
        del self._buffer[: end + 1]
        return True
