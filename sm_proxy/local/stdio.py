"""stdin and stdout as ssh gives them to a ProxyCommand, as descriptors one can wait for.

stdout carries SSH bytes only: `take` keeps the real one for the pump and points everything else
that prints at stderr. On Windows pipes cannot be waited for, so two threads carry the bytes to and
from a socket pair there; elsewhere the pipes are used as they are.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
import threading
from typing import Final, Protocol

from sm_proxy.local import poll

CHUNK: Final = 1 << 16
POLLABLE: Final = os.name == "posix"
"""Whether pipes can be waited for."""
_PIPE_WRITE: Final = 4096
"""POSIX: a write of at most PIPE_BUF to a writable pipe never blocks."""


class Stdio(Protocol):
    """ssh's two ends."""

    stdin: int
    """Wait for it to be readable."""
    stdout: int
    """Wait for it to be writable."""

    def read(self, size: int) -> bytes:
        """What has come from ssh; nothing at its end. Call it when `stdin` is readable."""

    def write(self, data: bytes | memoryview) -> int:
        """Give bytes to ssh, return how many were taken. Call it when `stdout` is writable.

        Raises:
            OSError: ssh no longer reads.
        """

    def gone(self, within: float = 0) -> bool:
        """Whether ssh has closed both its ends, or closes them within so many seconds."""

    def finish(self) -> None:
        """Close stdout once everything given to `write` has reached ssh."""


def take_over() -> Stdio:
    """Take stdin and stdout over; whatever prints from now on prints to stderr.

    Whatever reads stdin from now on, such as a credential_process, finds its end: ssh's bytes are
    for us alone.
    """
    own_stdin, own_stdout = os.dup(0), os.dup(1)  # not inherited by what we start
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return DirectStdio(own_stdin, own_stdout) if POLLABLE else ThreadedStdio(own_stdin, own_stdout)


class DirectStdio:
    """The descriptors themselves."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self.stdin = stdin
        self.stdout = stdout
        # Pipes and sockets are ours alone on this side; a terminal's flags are shared with others.
        mode = os.fstat(stdout).st_mode
        self._nonblocking = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        if self._nonblocking and sys.platform != "win32":
            os.set_blocking(stdout, False)

    def read(self, size: int) -> bytes:
        """What has come from ssh."""
        try:
            return os.read(self.stdin, size)
        except OSError:  # a reset, a terminal that hung up: there is no more to come
            return b""

    def write(self, data: bytes | memoryview) -> int:
        """Give bytes to ssh, as many as it takes."""
        try:
            return os.write(self.stdout, data if self._nonblocking else data[:_PIPE_WRITE])
        except BlockingIOError:
            return 0

    def gone(self, within: float = 0) -> bool:
        """Whether ssh has closed its ends: a closed pipe is told even while it holds bytes."""
        return bool(poll.wait([], [], [self.stdout], within).hung_up)

    def finish(self) -> None:
        """Close stdout."""
        with contextlib.suppress(OSError):
            os.close(self.stdout)


class ThreadedStdio:
    """Two threads between blocking descriptors and a socket pair, for platforms without poll."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._left = threading.Event()
        self._broken = False
        self.stdin = self.stdout = self._near.fileno()
        self._reader = threading.Thread(target=self._carry_in, args=(stdin,), daemon=True)
        self._writer = threading.Thread(target=self._carry_out, args=(stdout,), daemon=True)
        self._reader.start()
        self._writer.start()

    def read(self, size: int) -> bytes:
        """What has come from ssh."""
        try:
            return self._near.recv(size)
        except OSError:
            return b""

    def write(self, data: bytes | memoryview) -> int:
        """Give bytes to ssh, as many as the socket takes."""
        if self._broken:
            raise BrokenPipeError("ssh no longer reads")
        try:
            return self._near.send(data)
        except BlockingIOError:
            return 0

    def gone(self, within: float = 0) -> bool:
        """Whether stdin has ended or a write has failed: a pipe cannot be asked for its reader."""
        return self._left.wait(within)

    def finish(self) -> None:
        """Let the writer deliver what it has; two seconds at the most."""
        with contextlib.suppress(OSError):
            self._near.shutdown(socket.SHUT_WR)
        self._writer.join(2)

    def _carry_in(self, stdin: int) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(stdin, CHUNK):
                self._far.sendall(data)
        self._left.set()
        with contextlib.suppress(OSError):
            self._far.shutdown(socket.SHUT_WR)

    def _carry_out(self, stdout: int) -> None:
        try:
            while data := self._far.recv(CHUNK):
                view = memoryview(data)
                while view:
                    view = view[os.write(stdout, view) :]
        except OSError:
            self._broken = True
            self._left.set()
        with contextlib.suppress(OSError):
            os.close(stdout)
