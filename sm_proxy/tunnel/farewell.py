"""A stream whose session can only be ended through the stream itself."""

from __future__ import annotations

from sm_proxy.tunnel.stream import StreamWrapper, finish


class FarewellStream(StreamWrapper):
    """Tells the far end on `close` that the stream is over, however it came to that.

    Other streams leave that to an API call, where an error or a signal ends a connection.
    """

    _told = False

    def finish(self) -> None:
        """Deliver what was written, then end."""
        self._told = True
        super().finish()

    def close(self) -> None:
        """Free everything; takes about three seconds at most."""
        if self._stream.opened and self._stream.failure is None and not self._told:
            finish(self)
        super().close()
