"""Whether ssh has accepted the server's host key, read from what ssh sends in the clear.

Up to its NEWKEYS message a client's packets are not encrypted, and it sends that one only after it
has verified the server's key (RFC 4253, sections 6, 7.3 and 8). So an ssh that leaves without it
did not find the host it was told to expect.
"""

from __future__ import annotations

from sm_proxy.routes.cleartext import NEWKEYS, ClearPackets


class Acceptance:
    """Feed it what ssh sends; `given` turns true with NEWKEYS, or when this is no SSH."""

    def __init__(self) -> None:
        self.given = False
        self._packets = ClearPackets()

    def feed(self, data: bytes) -> None:
        """Look at more of what ssh sends."""
        if self.given:
            return
        self._packets.add(data)
        while not self.given and (payload := self._packets.take()) is not None:
            self.given = payload[0] == NEWKEYS
        self.given = self.given or self._packets.lost
