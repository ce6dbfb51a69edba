"""The server's host key, read from what it sends in the clear.

Its reply in a key exchange begins with `string K_S`, its public host key: message 31 of plain and
elliptic Diffie-Hellman and of the hybrids with sntrup761 and ML-KEM (RFC 4253, section 8; RFC 5656,
section 4), message 33 where the group is negotiated, whose message 31 is a prime (RFC 4419,
section 5). Nothing here verifies the signature over it: ssh does.
"""

from __future__ import annotations

import re
from typing import Final

from sm_proxy.routes.cleartext import NEWKEYS, ClearPackets

_REPLIES: Final = frozenset({31, 33})
_NAME: Final = re.compile(rb"[a-z][a-z0-9@.-]{2,63}")
_CERTIFICATE: Final = b"-cert-v01@openssh.com"


class HostKeyReader:
    """Feed it what the server sends.

    Attributes:
        blob: the host key as on the wire; None while, or because, it is not known.
        over: whether there is nothing more to see: known, a certificate (which only ssh can
            judge), encrypted, or no SSH.
    """

    def __init__(self) -> None:
        self.blob: bytes | None = None
        self.over = False
        self._packets = ClearPackets()

    def feed(self, data: bytes) -> None:
        """Look at more of what the server sends; never raises."""
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


def _string(data: bytes) -> bytes:
    """The `string` that the data begin with (RFC 4251, section 5); empty where there is none."""
    end = 4 + int.from_bytes(data[:4], "big")
    return data[4:end] if 4 < end <= len(data) else b""
