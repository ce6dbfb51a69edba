"""ssh's stdin and stdout as the socket of paramiko's SFTPClient; no wait on it is without an end.

paramiko asks a real socket ten times a second whether it is still open, by `select`, which takes no
descriptor above 1023. An object that is no socket gets `recv` and `send` only.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sm_proxy.local import poll

T = TypeVar("T")

SILENCE_S: Final = 60.0
"""A connection that gives no byte for so long, though it was asked, is lost."""
_SLICE_S: Final = 1.0
"""How often a wait looks whether another thread has closed the wire."""
_CHUNK: Final = 1 << 17
_ALIVE_BYTES: Final = 4096
"""Fewer bytes than that may be ssh's keepalives."""


class Wire:
    """One socket to ssh, read and written by one thread at a time.

    Args:
        connection: the other end is stdin and stdout of ssh; it belongs to the wire.
        carried: how many bytes of ssh have gone towards the container so far. While they go, as in
            an upload over a slow link, an answer may take longer than `silence_s`.
        silence_s: see `SILENCE_S`.

    Attributes:
        silence_s: as given; a caller that asks for much may set it.
        lost: why no more bytes come; empty while they may.
        ended: whether ssh has closed its end.
    """

    def __init__(
        self,
        connection: socket.socket,
        carried: Callable[[], int] = lambda: 0,
        silence_s: float = SILENCE_S,
    ) -> None:
        connection.setblocking(False)
        self.lost = ""
        self.ended = False
        self._socket = connection
        self._carried = carried
        self.silence_s = silence_s
        self._ahead = memoryview(b"")
        self._refused = False

    def get_name(self) -> str:
        """A name for paramiko's log."""
        return "ssh"

    def recv(self, size: int) -> bytes:
        """At least one byte and at most `size`; empty at the end.

        Raises:
            TimeoutError: none has come in time.
        """
        if not self._ahead:
            self._ahead = memoryview(self._received())
        data, self._ahead = bytes(self._ahead[:size]), self._ahead[size:]
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Send some of the bytes, and return how many.

        Raises:
            OSError: ssh takes no more.
        """
        sent = self._once_ready(lambda: self._socket.send(data), writing=True)
        if sent is None:
            raise BrokenPipeError(self.lost)
        return sent

    def finish(self) -> None:
        """Tell ssh that no more bytes come."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close it; a thread that waits for bytes gets the end."""
        self.lose("it was closed")
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def lose(self, why: str) -> None:
        """No more bytes come, or they make no sense; the first reason stays."""
        self.lost = self.lost or why

    def _received(self) -> bytes:
        data = self._once_ready(lambda: self._socket.recv(_CHUNK), writing=False)
        if data == b"":
            self.ended = True
            self.lose("ssh has ended")
        return self._left_behind() if data is None else data

    def _left_behind(self) -> bytes:
        """What had arrived before ssh took no more: else it would be copied again."""
        if not self._refused:
            return b""
        try:
            return self._socket.recv(_CHUNK)
        except OSError:
            return b""

    def _once_ready(self, attempt: Callable[[], T], *, writing: bool) -> T | None:
        """The result of `attempt`, once it need not wait; None if the wire is lost.

        Raises:
            TimeoutError: it would have to wait too long.
        """
        until, carried = time.monotonic() + self.silence_s, self._carried()
        while not self.lost:
            try:
                return attempt()
            except BlockingIOError:
                self._wait(until, writing=writing)
            except OSError as error:  # ECONNRESET: ssh has ended, and left bytes of ours unread
                self.ended = True
                self._refused = writing
                self.lose(error.strerror or str(error))
                break
            now = time.monotonic()
            if self._carried() - carried >= _ALIVE_BYTES:
                until, carried = now + self.silence_s, self._carried()
            elif now >= until:
                self.lose(f"no answer within {self.silence_s:.0f} s")
                raise TimeoutError(self.lost)
        return None

    def _wait(self, until: float, *, writing: bool) -> None:
        """Wait until it may be ready, or a moment has passed."""
        wanted = [self._socket.fileno()]
        readers, writers = ([], wanted) if writing else (wanted, [])
        seconds = min(_SLICE_S, max(0.0, until - time.monotonic()))
        with contextlib.suppress(ValueError):  # another thread has just closed it
            poll.wait(readers, writers, [], seconds)
