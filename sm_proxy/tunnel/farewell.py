"""A stream whose session can only be ended through the stream itself."""

from __future__ import annotations

from typing import Final

from sm_proxy.tunnel.stream import StreamWrapper, finish

PATIENCE_S: Final = 2.5
"""How long the far end may take to confirm. One that does not hear it keeps a place for an hour."""


class FarewellStream(StreamWrapper):
    """Tells the far end that the stream is over, however and whenever it came to that.

    Other streams leave that to an API call, where an error or a signal ends a connection. Before
    the stream is open nothing can be told, so an early end waits for that.
    """

    _ending = _finished_inner = False

    def finish(self) -> None:
        """Deliver what was written, then end, as soon as the stream is open."""
        self._ending = True
        self._finish_inner()

    def advance(self, now: float, *, readable: bool) -> None:
        """Do everything that can be done without waiting."""
        super().advance(now, readable=readable)
        self._finish_inner()

    def close(self) -> None:
        """Free everything; takes about five seconds at most."""
        if self._stream.failure is None and not self._stream.finished:
            finish(self, PATIENCE_S)
        super().close()

    def _finish_inner(self) -> None:
        if self._ending and not self._finished_inner and self._stream.opened:
            self._finished_inner = True
            self._stream.finish()
