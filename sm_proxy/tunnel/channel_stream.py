"""A channel of paramiko, such as `direct-tcpip`, as a `Stream` that never blocks.

paramiko blocks while a window is full or keys are exchanged. So two threads copy between the
channel and one end of a socket pair, and the pump has the other end. Each direction keeps at most
what the socket pair, the buffer of `SocketStream` and the channel's window hold: three megabytes.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.tunnel.blocking_socket import BlockingSocket
from sm_proxy.tunnel.socket_stream import SocketStream
from sm_proxy.tunnel.stream import Stream, StreamWrapper

WINDOW: Final = 1 << 21
"""Bytes of a channel's window: more than 1 MB/s needs at half a second of latency."""
_CHUNK: Final = 1 << 15
_KEY_EXCHANGE_S: Final = 600.0
"""A new key exchange waits behind all bytes that are under way: minutes on a slow link."""
_ENDING_S: Final = 1.0


class ChannelStream(StreamWrapper):
    """A `Stream` over an open channel.

    Args:
        channel: of paramiko; it belongs to this stream, with its transport.
        tunnel: carries the transport's bytes.
        below: the stream inside the tunnel.
        where: of the far end, for the error message.
    """

    def __init__(self, channel: Any, tunnel: BlockingSocket, below: Stream, where: str) -> None:
        near, self._far = socket.socketpair()
        super().__init__(SocketStream(near, where, passable=False))
        self._channel = channel
        self._transport = channel.get_transport()
        self._tunnel = tunnel
        self._below = below
        self._written = self._sent = 0
        self._lost = False
        channel.settimeout(None)
        self._transport.clear_to_send_timeout = _KEY_EXCHANGE_S
        self._threads = [
            threading.Thread(target=work, daemon=True)
            for work in (self._carry_up, self._carry_down)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def failure(self) -> Exception | None:
        """Why it ended: the transport's end, unless the far end had closed the channel before."""
        if not (self._lost and self._stream.ended):
            return self._stream.failure
        return (
            self._below.failure
            or self._below.suspicion
            or SmProxyError(
                "session-lost", f"the sshd of {self.through} ended the connection", "Connect again."
            )
        )

    @property
    def delivered(self) -> bool:
        """Whether everything written has reached the SSH server that opened the channel."""
        return self._sent == self._written and self._tunnel.delivered

    @property
    def through(self) -> str:
        """The machine that the bytes pass through."""
        return self._below.through

    @property
    def session_id(self) -> str:
        """The id of the SSM session below the stream."""
        return self._below.session_id

    @property
    def resumes(self) -> int:
        """How often a lost connection was resumed."""
        return self._below.resumes

    def write(self, data: bytes) -> None:
        """Take at most `room` bytes for the other side."""
        self._written += len(data)
        self._stream.write(data)

    def close(self) -> None:
        """Free everything."""
        self._stream.close()
        self._transport.close()
        self._tunnel.close()
        for thread in self._threads:
            thread.join(_ENDING_S)
        self._far.close()

    def _carry_up(self) -> None:
        with contextlib.suppress(Exception):  # the end, by us or by the far end
            while data := self._far.recv(_CHUNK):
                self._channel.sendall(data)
                self._sent += len(data)
            self._channel.shutdown_write()

    def _carry_down(self) -> None:
        with contextlib.suppress(Exception):
            while data := self._channel.recv(_CHUNK):
                self._far.sendall(data)
        self._lost = not (self._channel.eof_received or self._transport.is_active())
        with contextlib.suppress(OSError):
            self._far.shutdown(socket.SHUT_WR)
