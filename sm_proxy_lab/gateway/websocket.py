"""One websocket connection of a client, on the sans-I/O half of the `websockets` library.

The library's asyncio half hides the transport. The gateway needs the transport to write in the same
turn of the event loop, to stop reading, to delay bytes, to cut without a close frame and to freeze.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from sm_proxy_lab.gateway.delay import DelayLine

if TYPE_CHECKING:
    from websockets.http11 import Response

log = logging.getLogger("sm_proxy_lab.gateway")

# Bytes, far above any client's messages; a longer one gets close code 1009.
MAX_MESSAGE = 16 << 20
# When this many bytes wait for a slow client, the agent stops reading from its target.
HIGH_WATER = 1 << 20
CLOSE_TIMEOUT = 5.0


class Owner(Protocol):
    """The owner of a connection, which gets its events."""

    def upgrade_status(self, path: str) -> int:
        """Return the HTTP status for an upgrade at `path`; 101 accepts."""

    def on_message(self, connection: Connection, data: bytes, *, text: bool) -> None:
        """Take one whole message."""

    def on_lost(self, connection: Connection) -> None:
        """Called when the connection is gone, with or without a close frame."""

    def on_writable(self, connection: Connection) -> None:
        """Called when a congested connection has sent what waited."""


class Connection(asyncio.Protocol):
    """A server connection: messages in, messages out, `latency` seconds each way."""

    def __init__(self, owner: Owner, latency: float) -> None:
        self.bytes_moved = 0
        self.frozen = False
        self.fragment: int | None = None
        self._owner = owner
        self._ws = ServerProtocol(max_size=MAX_MESSAGE, logger=_quiet())
        self._inbound = DelayLine[bytes | None](latency, self._take)
        self._outbound = DelayLine[bytes | None](latency, self._put)
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._text = False
        self._corked = False
        self._lost = False
        self._closer: asyncio.TimerHandle | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        # asyncio sets it only if the listener was made with an explicit protocol.
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Take bytes off the socket."""
        self._inbound.push(data)

    def eof_received(self) -> bool:
        """Queue the end of the client's stream behind its bytes."""
        self._inbound.push(None)
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell the owner."""
        self._inbound.clear()
        self._outbound.clear()
        if self._closer:
            self._closer.cancel()
        self._report_lost()

    def resume_writing(self) -> None:
        """Tell the owner that there is room."""
        self._owner.on_writable(self)

    # What the owner calls.

    @property
    def congested(self) -> bool:
        """Whether the client reads more slowly than the agent writes."""
        transport = self._transport
        return transport is not None and transport.get_write_buffer_size() > HIGH_WATER

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._ws.state is OPEN

    def send(self, data: bytes) -> None:
        """Send one binary message."""
        if not self.open:
            return
        self.bytes_moved += len(data)
        if self.fragment and len(data) > self.fragment:
            self._send_fragments(data, self.fragment)
        else:
            self._ws.send_binary(data)
        self._flush()

    def close(self, code: int, reason: str = "") -> None:
        """Close with a close frame; drop the connection if the client does not answer."""
        if self.open:
            self._ws.send_close(code, reason)
            self._flush()
            loop = asyncio.get_running_loop()
            self._closer = loop.call_later(CLOSE_TIMEOUT, self.abort)

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        self._outbound.clear()
        if self._transport:
            self._transport.abort()
        self._report_lost()

    def pause(self) -> None:
        """Stop reading from the client."""
        if self._transport and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    # Internals.

    def _take(self, data: bytes | None) -> None:
        if self.frozen or self._lost:
            return
        # Answers to a batch of messages leave in one write.
        self._corked = True
        try:
            if data is None:
                self._ws.receive_eof()
            else:
                self._ws.receive_data(data)
            for event in self._ws.events_received():
                if isinstance(event, Request):
                    self._upgrade(event)
                else:
                    self._frame(cast("Frame", event))
        finally:
            self._corked = False
        self._flush()
        if self._ws.eof_sent:
            self._outbound.push(None)

    def _upgrade(self, request: Request) -> None:
        status = self._owner.upgrade_status(request.path)
        response: Response
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            response = self._ws.accept(request)
        else:
            response = self._ws.reject(HTTPStatus(status), "")
        self._ws.send_response(response)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self._report_lost()
            return
        if frame.opcode not in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT} or self._lost:
            return
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is Opcode.TEXT
        if not frame.fin:
            self._parts.append(bytes(frame.data))
            return
        data = bytes(frame.data)
        if self._parts:
            data = b"".join([*self._parts, data])
            self._parts.clear()
        self.bytes_moved += len(data)
        self._owner.on_message(self, data, text=self._text)

    def _send_fragments(self, data: bytes, size: int) -> None:
        self._ws.send_binary(data[:size], fin=False)
        for start in range(size, len(data), size):
            last = start + size >= len(data)
            self._ws.send_continuation(data[start : start + size], fin=last)

    def _flush(self) -> None:
        if self._corked:
            return
        data = b"".join(self._ws.data_to_send())
        if data:
            self._outbound.push(data)

    def _put(self, data: bytes | None) -> None:
        if self._transport is None or self._transport.is_closing() or self.frozen:
            return
        if data is None:
            self._transport.close()
        else:
            self._transport.write(data)

    def _report_lost(self) -> None:
        if not self._lost:
            self._lost = True
            self._owner.on_lost(self)


def _quiet() -> logging.Logger:
    logger = logging.getLogger("sm_proxy_lab.gateway.websocket")
    logger.setLevel(logging.ERROR)
    return logger
