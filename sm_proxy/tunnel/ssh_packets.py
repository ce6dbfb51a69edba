"""Reads the unencrypted start of SSH: packets, the server's host key, and the client's answer.

First come lines, of which the last begins with `SSH-`. Then come packets: uint32 length, byte
padding length, payload, padding (RFC 4253, sections 4.2 and 6). Both sides encrypt after their
NEWKEYS (section 7.3), so reading ends there.
"""

from __future__ import annotations

import re
from typing import Final

NEWKEYS: Final = 21
_REPLIES: Final = frozenset({31, 33})
_NAME: Final = re.compile(rb"[a-z][a-z0-9@.-]{2,63}")
_CERTIFICATE: Final = b"-cert-v01@openssh.com"
_BUFFER_LIMIT: Final = 1 << 16
"""OpenSSH accepts packets of a key exchange up to about 35000 bytes."""
_LINE_LIMIT: Final = 1 << 13
"""OpenSSH accepts lines up to this length."""
_TOTAL_LIMIT: Final = 1 << 18


class ClearPackets:
    """Splits bytes, which may come in any portions, into the payloads of packets.

    Attributes:
        lost: whether the bytes are not SSH, or more than a key exchange needs; no payload follows.
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
        """The next payload, of at least one byte; None until it is complete."""
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


class HostKeyReader:
    """Reads the server's host key from the bytes of the server.

    Its reply in a key exchange begins with `string K_S`, its public host key. The reply is message
    31 of plain and elliptic Diffie-Hellman and of the hybrids with sntrup761 and ML-KEM (RFC 4253,
    section 8; RFC 5656, section 4). If the group is negotiated (RFC 4419, section 5), the reply is
    message 33, and message 31 is a prime. We do not verify the signature over the key: ssh does.

    Attributes:
        blob: the host key in wire form; None before it comes, or if none comes.
        over: whether to stop reading: the key has come, it is a certificate (which only ssh can
            judge), the rest is encrypted, or the bytes are not SSH.
    """

    def __init__(self) -> None:
        self.blob: bytes | None = None
        self.over = False
        self._packets = ClearPackets()

    def feed(self, data: bytes) -> None:
        """Read more bytes from the server; never raises."""
        if self.over:
            return
        self._packets.add(data)
        while not self.over and (payload := self._packets.take()) is not None:
            self._look(payload)
        self.over = self.over or self._packets.lost

    def _look(self, payload: bytes) -> None:
        self.over = payload[0] == NEWKEYS
        if payload[0] not in _REPLIES:
            return
        blob = _string(payload[1:])
        name = _string(blob)
        if not _NAME.fullmatch(name):
            return
        self.over = True
        self.blob = None if name.endswith(_CERTIFICATE) else blob


class Acceptance:
    """Reads from the bytes of ssh whether it has accepted the server's host key.

    A client sends its NEWKEYS only after it has verified the server's key (RFC 4253, sections 7.3
    and 8). If ssh leaves without it, the server was not the expected one.

    Attributes:
        given: True once NEWKEYS has come, or if the bytes are not SSH.
    """

    def __init__(self) -> None:
        self.given = False
        self._packets = ClearPackets()

    def feed(self, data: bytes) -> None:
        """Read more bytes from ssh."""
        if self.given:
            return
        self._packets.add(data)
        while not self.given and (payload := self._packets.take()) is not None:
            self.given = payload[0] == NEWKEYS
        self.given = self.given or self._packets.lost


def _string(data: bytes) -> bytes:
    """The `string` at the start of the data (RFC 4251, section 5); empty if there is none."""
    end = 4 + int.from_bytes(data[:4], "big")
    return data[4:end] if 4 < end <= len(data) else b""
