"""A stream by one route that goes over to the next route if the first one leads nowhere."""

from __future__ import annotations

from collections.abc import Callable

from sm_proxy.tunnel.replaceable import ReplaceableStream
from sm_proxy.tunnel.stream import Stream


class FallbackStream(ReplaceableStream):
    """A `ReplaceableStream` that tries the next route when the stream of one fails.

    Args:
        stream: by the first route.
        may_be_mended: whether the next route may avoid the failure.
        connect_next: connects by the next route.
        on_first_byte: called once, with the first byte from the container.
    """

    def __init__(
        self,
        stream: Stream,
        may_be_mended: Callable[[Exception], bool],
        connect_next: Callable[[], Stream],
        on_first_byte: Callable[[], None],
    ) -> None:
        super().__init__(stream, connect_next)
        self._may_be_mended = may_be_mended
        self._on_first_byte = on_first_byte

    def read(self) -> bytes:
        """The bytes that have come; with the first one, the route has served."""
        waiting = not self._settled
        data = super().read()
        if data and waiting:
            self._on_first_byte()
        return data

    def _wants_another(self, now: float) -> bool:
        del now
        failure = self._stream.failure
        return self._stream.ended and failure is not None and self._may_be_mended(failure)
