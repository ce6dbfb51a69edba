"""A stream to a container whose address comes from the cache.

The cache may be stale: the job has ended, or its container was replaced and has another address.
If no byte comes for two seconds, or the stream ends, we resolve the container again while we wait.
If it has moved, we connect to the new address. After the first byte, the address counts as right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sm_proxy.local import debug_log
from sm_proxy.tunnel.replaceable import ReplaceableStream
from sm_proxy.tunnel.ssh_packets import Acceptance
from sm_proxy.tunnel.stream import Stream

PATIENCE_S: Final = 2.0

Recheck = Callable[[], "Stream | None"]
"""Resolves the container again; if it has moved, returns a stream to the new address."""


class StaleAddressStream(ReplaceableStream):
    """A `ReplaceableStream` that resolves the container again, once.

    Args:
        stream: to the cached address.
        recheck: resolves the container again.
        forget: removes it from the cache; called if ssh did not accept the server's host key.
        now: the time of `time.monotonic`.
    """

    def __init__(
        self, stream: Stream, recheck: Recheck, forget: Callable[[], None], now: float
    ) -> None:
        super().__init__(stream, recheck)
        self._forget = forget
        self._acceptance = Acceptance()
        self._greeted = False
        self._due = now + PATIENCE_S

    @property
    def transparent(self) -> bool:
        """Whether the container is known, has all bytes, and ssh has accepted its host key."""
        return super().transparent and self._acceptance.given

    def read(self) -> bytes:
        """The bytes that have come; the first one proves the address."""
        data = super().read()
        self._greeted = self._greeted or bool(data)
        return data

    def write(self, data: bytes) -> None:
        """Take bytes, and keep them until the address is proven."""
        self._acceptance.feed(data)
        super().write(data)

    def close(self) -> None:
        """Free everything."""
        if self._greeted and not self._acceptance.given:
            self._forget()
        super().close()

    def _wants_another(self, now: float) -> bool:
        wanted = now >= self._due or self._stream.ended
        if wanted:
            debug_log.write("no answer at the cached address, resolving again")
        return wanted

    def _change_to(self, stream: Stream) -> None:
        debug_log.write("the container has moved, dialling its new address")
        super()._change_to(stream)
        self._settle()
