"""One smux stream of the agent and its TCP connection."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from sm_proxy_lab.gateway import smux


class StreamPort(Protocol):
    """The port session, as its streams see it."""

    def send(self, command: int, stream: int, data: bytes | memoryview = b"") -> bool:
        """Send a frame; return whether the stream may go on reading."""

    def drained(self) -> None:
        """Called when a stream has delivered all that it had."""

    def closed(self, stream: MuxStream) -> None:
        """Tell the client that a stream is closed, and forget it."""


class MuxStream(asyncio.BufferedProtocol):
    """Copies both ways. The end of one way ends the other: smux v1 has no half-close."""

    def __init__(self, port: StreamPort, number: int) -> None:
        self.number = number
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._pending = bytearray()  # data that came during the dial
        self._buffer = memoryview(bytearray(smux.MAX_SEND))
        self._finishing = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many bytes the target has not taken yet."""
        if self._transport is None:
            return len(self._pending)
        return self._transport.get_write_buffer_size()

    def connection(self) -> MuxStream:
        """Return this stream: it is the protocol of the connection to the target."""
        return self

    def push(self, data: memoryview) -> None:
        """Give data to the target."""
        if self._transport is None:
            self._pending += data
        elif not self._transport.is_closing() and not self._finishing:
            # Copy the data: the view's buffer is only valid now.
            self._transport.write(bytes(data))

    def finish(self) -> None:
        """Close the connection once it has taken what was pushed; a later answer is lost."""
        self._finishing = True
        if self._transport and not self.waiting:
            self.close()
            self._port.closed(self)

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self._pending.clear()
        if self._transport:
            if self._transport.get_write_buffer_size():
                self._transport.abort()
            else:
                self._transport.close()

    def resume(self) -> None:
        """Read from the target again."""
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Deliver what came during the dial."""
        self._transport = cast("asyncio.Transport", transport)
        if self._closed:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=0)
        if self._pending:
            self._transport.write(bytes(self._pending))
            self._pending.clear()
        if self._finishing:
            self.finish()
        self._port.drained()

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Read like io.Copy, 32 KiB at a time."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Send the target's data in one frame."""
        if not self._port.send(smux.PSH, self.number, self._buffer[:nbytes]) and self._transport:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Close the stream in both directions."""
        self.close()
        self._port.closed(self)
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        """Close the stream."""
        self._port.closed(self)

    def resume_writing(self) -> None:
        """Go on: the target has taken everything."""
        if self._finishing:
            self.finish()
        self._port.drained()
