"""A TCP connection as a `Stream`, for a route without a session.

`dial` does not wait: the stream opens once the far end has answered. TCP has a half-close: `finish`
sends the end after everything that was written, and the far end may still send. The socket can also
be handed to ssh itself: see `socket_inside`.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
import time
from collections.abc import Callable
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.tunnel.stream import Stream, StreamWrapper

_BUFFER: Final = 1 << 18
"""The limit of the bytes kept in each direction; the kernel keeps more."""
_CHUNK: Final = 1 << 17
_TICK_S: Final = 0.05
"""How often to look at a connection that is being made: Windows reports no failure to `select`."""
_UNDER_WAY: Final = frozenset(
    {0, errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", 0)}
)

Explain = Callable[[OSError], SmProxyError]
"""Makes the error for a connection that could not be made; ETIMEDOUT if nothing answered."""


def dial(address: str, port: int, within_s: float, explain: Explain) -> SocketStream:
    """A stream to an address, which opens in time or fails."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    stream = SocketStream(connection, f"{address} port {port}")
    stream.connect_to((address, port), time.monotonic() + within_s, explain)
    return stream


class SocketStream:
    """A `Stream` over a TCP socket.

    Args:
        connection: the socket, connected unless `connect_to` follows; it becomes non-blocking and
            belongs to this stream.
        where: address and port, for the error message.
        passable: whether the socket leads to the container itself, so that ssh may have it.

    Attributes:
        socket: the socket.
        passable: as given.
        host_key: in wire form, if it was just read on another connection to the same server.
    """

    session_id = ""
    resumes = 0
    suspicion: Exception | None = None
    """None: TCP tells a clean end from a reset."""

    def __init__(self, connection: socket.socket, where: str, *, passable: bool = True) -> None:
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # ssh sets it on sockets that it connects itself, but not on one that it is given.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.socket = connection
        self.host_key: bytes | None = None
        self.passable = passable
        self.through = ""
        self.failure: Exception | None = None
        self._where = where
        self._dialling: tuple[float, Explain] | None = None
        self._in = b""
        self._out = bytearray()
        self._used = False
        self._answered = False
        self._refused: OSError | None = None
        self._far_ended = False
        self._finishing = False
        self._shut = False

    def connect_to(self, where: tuple[str, int], until: float, explain: Explain) -> None:
        """Begin to connect; the stream fails unless it is connected at `until` (monotonic)."""
        self._dialling = until, explain
        code = self.socket.connect_ex(where)
        if code not in _UNDER_WAY:
            self._fail_to_connect(code)

    @property
    def opened(self) -> bool:
        """Whether bytes can flow."""
        return self._dialling is None

    @property
    def ended(self) -> bool:
        """Whether no more bytes will come."""
        return self._far_ended

    @property
    def delivered(self) -> bool:
        """Whether the kernel has everything that was written."""
        return not self._out

    @property
    def finished(self) -> bool:
        """Whether both ends know that it is over."""
        return self._far_ended and (self._shut or not self._finishing)

    @property
    def room(self) -> int:
        """How many bytes `write` takes now."""
        closed = self._finishing or self._refused is not None or self._far_ended
        return 0 if closed else _BUFFER - len(self._out)

    @property
    def wants_read(self) -> bool:
        """Whether to wait for the descriptor to be readable: not while bytes wait to be read."""
        return self.opened and not self._in and not self._far_ended

    @property
    def wants_write(self) -> bool:
        """Whether to wait for the descriptor to be writable."""
        return bool(self._out or self._dialling) and not self._far_ended

    def fileno(self) -> int:
        """The descriptor to wait for; -1 after the end."""
        return -1 if self._far_ended else self.socket.fileno()

    def deadline(self, now: float) -> float:
        """When to call `advance` at the latest: only for bytes, once it is connected."""
        if self._far_ended:
            return now
        return math.inf if self._dialling is None else min(now + _TICK_S, self._dialling[0])

    def advance(self, now: float, *, readable: bool) -> None:
        """Send what waits, and take what has come."""
        if self._dialling is not None and not self._far_ended:
            self._look(now, self._dialling[0])
        self._flush()
        if readable and self.wants_read:
            self._receive()

    def read(self) -> bytes:
        """The bytes that have come."""
        data, self._in = self._in, b""
        return data

    def write(self, data: bytes) -> None:
        """Take bytes; they are sent at once if the kernel takes them."""
        self._used = self._used or bool(data)
        self._out += data
        self._flush()

    def finish(self) -> None:
        """Deliver what was written, then send the end."""
        self._finishing = True
        self._flush()

    def unused_socket(self) -> socket.socket | None:
        """The socket, to be handed to ssh; None if it is not connected, or has carried bytes."""
        self.advance(time.monotonic(), readable=False)
        usable = self.opened and not self._far_ended and not self._used
        return self.socket if usable else None

    def close(self) -> None:
        """Close the socket."""
        self._far_ended = True
        self.socket.close()

    def _look(self, now: float, until: float) -> None:
        """Whether the connection has been made, or has failed."""
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail_to_connect(code)
            return
        try:
            self.socket.getpeername()
        except OSError:  # not yet
            if now >= until:
                self._fail_to_connect(errno.ETIMEDOUT)
            return
        self._dialling = None

    def _fail_to_connect(self, code: int) -> None:
        if self._dialling is not None:
            self.failure = self._dialling[1](OSError(code, os.strerror(code)))
        self._far_ended = True

    def _receive(self) -> None:
        error: OSError | None = None
        try:
            self._in = self.socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as reset:
            error = reset
        self._used = True
        self._answered = self._answered or bool(self._in)
        if not self._in:
            self._end(error or self._refused)

    def _flush(self) -> None:
        if self._dialling is not None:
            return
        try:
            while self._out and not self._far_ended:
                del self._out[: self.socket.send(self._out)]
            if self._finishing and not self._shut and not self._far_ended:
                self._shut = True
                self.socket.shutdown(socket.SHUT_WR)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:  # the far end may have told why: its bytes are read first
            self._out.clear()
            self._refused = error

    def _end(self, error: OSError | None) -> None:
        """Before its first byte, a reset is an end like any other: the greeting explains it."""
        self._far_ended = True
        if error is not None and self._answered and not self._finishing:
            self.failure = SmProxyError(
                "session-lost",
                f"the connection to {self._where} was lost: {error.strerror or error}",
                "Connect again.",
            )


def socket_inside(stream: Stream) -> SocketStream | None:
    """The socket stream inside the wrappers of `stream`; None if ssh cannot have its socket."""
    while isinstance(stream, StreamWrapper):
        stream = stream._stream  # noqa: SLF001 - of the base class of wrappers
    return stream if isinstance(stream, SocketStream) and stream.passable else None
