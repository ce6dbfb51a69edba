"""The packets of one direction of SSH, as long as they are in the clear (RFC 4253, 4.2 and 6).

Lines come first, the last of them begins with `SSH-`; then packets: uint32 length, byte padding
length, payload, padding. Neither side encrypts before its NEWKEYS (7.3), where readers stop.
"""

from __future__ import annotations

from typing import Final

NEWKEYS: Final = 21
_BUFFER_LIMIT: Final = 1 << 16
"""OpenSSH takes no packet of a key exchange that is longer than 35000 bytes or so."""
_LINE_LIMIT: Final = 1 << 13
"""Nor a line that is longer than this."""
_TOTAL_LIMIT: Final = 1 << 18


class ClearPackets:
    """Takes bytes in any portions, gives payloads.

    Attributes:
        lost: whether this is no SSH, or more of it than a key exchange needs; nothing comes any
            more.
    """

    def __init__(self) -> None:
        self.lost = False
        self._buffer = bytearray()
        self._total = 0
        self._greeted = False

    def add(self, data: bytes) -> None:
        """Take more bytes."""
        self._total += len(data)
        self._buffer += data

    def take(self) -> bytes | None:
        """The next payload, of at least one byte; None until all of it is there."""
        while not self._greeted and self._take_line():
            pass
        payload = self._take_packet() if self._greeted and not self.lost else None
        waiting = len(self._buffer)
        if payload is None and (
            waiting > (_BUFFER_LIMIT if self._greeted else _LINE_LIMIT)
            or self._total - waiting > _TOTAL_LIMIT
        ):
            self.lost = True
        if self.lost:
            self._buffer.clear()
        return payload

    def _take_line(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            return False
        self._greeted = self._buffer.startswith(b"SSH-")
        del self._buffer[: end + 1]
        return True

    def _take_packet(self) -> bytes | None:
        if len(self._buffer) < 5:
            return None
        length, padding = int.from_bytes(self._buffer[:4], "big"), self._buffer[4]
        if not padding + 2 <= length <= _BUFFER_LIMIT:
            self.lost = True
            return None
        if len(self._buffer) < 4 + length:
            return None
        payload = bytes(self._buffer[5 : 4 + length - padding])
        del self._buffer[: 4 + length]
        return payload
