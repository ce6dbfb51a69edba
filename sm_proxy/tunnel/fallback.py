"""A stream by one route that goes over to the next route if the first one leads nowhere."""

from __future__ import annotations

import math
from typing import Final, Protocol

from sm_proxy.tunnel.replaceable import ReplaceableStream
from sm_proxy.tunnel.stream import Stream

PATIENCE_S: Final = 5.0
"""A stream that is open but silent for so long may lead into a network that drops packets. The pump
gives up after twice that time."""


class Routes(Protocol):
    """The routes of one connection: see `routes/table.py`."""

    def may_avoid(self, stream: Stream, failure: Exception) -> bool:
        """Whether another route may avoid the failure of this stream; called once for it."""

    def connect_next(self) -> Stream:
        """A stream by the next route. May block; an exception ends the connection."""

    def connect_elsewhere(self, silent: Stream) -> Stream | None:
        """A stream that does not share the network of a silent one; None if there is none."""

    def has_served(self, stream: Stream) -> None:
        """Called with the first byte from the container."""


class FallbackStream(ReplaceableStream):
    """A `ReplaceableStream` that tries the next route when the stream of one fails.

    Args:
        stream: by the first route.
        routes: the others.
    """

    def __init__(self, stream: Stream, routes: Routes) -> None:
        super().__init__(stream, routes.connect_next)
        self._routes = routes
        self._served = False
        self._looked_elsewhere = False

    @property
    def opened(self) -> bool:
        """Whether bytes can flow; a silent stream stays open until another one replaces it."""
        return self._stream.opened

    def read(self) -> bytes:
        """The bytes that have come; with the first one, the route has served."""
        data = super().read()
        if data and not self._served:
            self._served = True
            self._routes.has_served(self._stream)
        return data

    def _wants_another(self, now: float) -> bool:
        if self._stream.ended:
            failure = self._stream.failure
            self._find = self._routes.connect_next
            return failure is not None and self._routes.may_avoid(self._stream, failure)
        if self._looked_elsewhere or not self._stream.opened:
            return False
        if self._due == math.inf:
            self._due = now + PATIENCE_S
        if now < self._due:
            return False
        self._due, self._looked_elsewhere = math.inf, True
        self._find = lambda: self._routes.connect_elsewhere(self._stream)
        return True
