"""Bytes between a local TCP connection and a channel of SSH, each direction with its own end."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import Any, Final

from sm_proxy.local.threads import Background

_CHUNK: Final = 1 << 15
_AT_ONCE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER without a wait: `close` sends a reset."""


class Relay:
    """One connection through the tunnel.

    Args:
        near: the local connection, in blocking mode; it is closed at the end.
        channel: paramiko's, to the port in the container; it is closed at the end.
    """

    def __init__(self, near: socket.socket, channel: Any) -> None:
        from paramiko import SSHException  # noqa: PLC0415 - the channel's maker has imported it

        self._near = near
        self._channel = channel
        # EOFError: the SSH connection is being lost, and paramiko has not noticed it yet.
        self._broken = (OSError, EOFError, SSHException)

    def run(self) -> None:
        """Copy until both directions have ended, or one is broken."""
        try:
            up = Background(self._up)
            self._down()
            up.result()
        finally:
            self._close_channel()
            self._near.close()

    def _up(self) -> None:
        try:
            while data := self._near.recv(_CHUNK):
                self._channel.sendall(data)
            self._channel.shutdown_write()
        except self._broken:  # one of the two: the other direction must not wait for it
            self._close_channel()

    def _down(self) -> None:
        try:
            while data := self._channel.recv(_CHUNK):
                self._near.sendall(data)
        except self._broken:
            self._close_channel()
        if self._channel.eof_received:
            self._end(socket.SHUT_WR)
        else:
            self._reset()
        if self._channel.closed:
            self._end(socket.SHUT_RD)  # wakes `_up`

    def _close_channel(self) -> None:
        """Close the channel; the server need not hear of it if the connection is lost."""
        with contextlib.suppress(*self._broken):
            self._channel.close()

    def _end(self, how: int) -> None:
        with contextlib.suppress(OSError):
            self._near.shutdown(how)

    def _reset(self) -> None:
        """Let the program see a reset when we close: for it an end would be a whole answer."""
        with contextlib.suppress(OSError):
            self._near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
