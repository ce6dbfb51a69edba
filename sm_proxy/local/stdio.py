"""ssh's end of a ProxyCommand: stdin and stdout, as descriptors that we can wait for.

stdout carries SSH bytes only: `take_over` keeps the real stdout for the pump, and everything else
prints to stderr. On Windows nothing can wait for a pipe, so two threads copy the bytes through a
socket pair; elsewhere we use the pipes directly.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import stat
import sys
import threading
from typing import Final, Protocol

from sm_proxy.local import fd_passing, poll

CHUNK: Final = 1 << 16
POLLABLE: Final = os.name == "posix"
"""Whether the system can wait for pipes."""
_PIPE_WRITE: Final = 4096
"""POSIX: a write of at most PIPE_BUF to a writable pipe never blocks."""


class Stdio(Protocol):
    """stdin and stdout of a ProxyCommand."""

    stdin: int
    """Wait for it to be readable."""
    stdout: int
    """Wait for it to be writable."""

    def read(self, size: int) -> bytes:
        """Bytes from ssh; empty at the end. Call it when `stdin` is readable."""

    def write(self, data: bytes | memoryview) -> int:
        """Send bytes to ssh and return how many it took. Call it when `stdout` is writable.

        Raises:
            OSError: ssh no longer reads.
        """

    def gone(self, within: float = 0) -> bool:
        """Whether ssh has closed its ends, or closes them in time."""

    def finish(self) -> None:
        """Close stdout after everything from `write` has reached ssh."""


def take_over() -> Stdio:
    """Take stdin and stdout over: from now on, prints go to stderr, and stdin is empty.

    A child such as a credential_process must not read ssh's bytes from stdin.
    """
    own_stdin, own_stdout = os.dup(0), os.dup(1)  # children do not inherit them
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    _unbuffer_stderr()
    sys.stdout = sys.stderr
    if not POLLABLE:
        return ThreadedStdio(own_stdin, own_stdout)
    passing = fd_passing.taken_over(own_stdin, own_stdout)
    stdio = passing or DirectStdio(own_stdin, own_stdout)
    fd_passing.note(stdio)
    return stdio


def _unbuffer_stderr() -> None:
    """Write each line to stderr at once, as `python -u` does.

    A thread that writes to a blocked stderr holds the lock of Python's buffer. At its exit Python
    would wait for this lock.
    """
    stderr = sys.__stderr__
    if stderr is not None and sys.stderr is stderr:
        raw = getattr(stderr.buffer, "raw", stderr.buffer)
        sys.stderr = io.TextIOWrapper(raw, stderr.encoding, stderr.errors, write_through=True)


class DirectStdio:
    """Use the descriptors directly.

    Attributes:
        untouched: whether nothing was read or written.
    """

    def __init__(self, stdin: int, stdout: int) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.untouched = True
        # Only we use this end of a pipe or socket; other programs share the flags of a terminal.
        mode = os.fstat(stdout).st_mode
        self._nonblocking = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        if self._nonblocking and sys.platform != "win32":
            os.set_blocking(stdout, False)

    def read(self, size: int) -> bytes:
        """Bytes from ssh."""
        self.untouched = False
        try:
            return os.read(self.stdin, size)
        except OSError:  # a reset connection or a closed terminal: the end
            return b""

    def write(self, data: bytes | memoryview) -> int:
        """Send bytes to ssh, as many as it takes."""
        self.untouched = False
        try:
            return os.write(self.stdout, data if self._nonblocking else data[:_PIPE_WRITE])
        except BlockingIOError:
            return 0

    def gone(self, within: float = 0) -> bool:
        """Whether ssh has closed its ends; `poll` reports that even while bytes are unread."""
        return bool(poll.wait([], [], [self.stdout], within).hung_up)

    def finish(self) -> None:
        """Close stdout."""
        with contextlib.suppress(OSError):
            os.close(self.stdout)


class ThreadedStdio:
    """Copy between the descriptors and a socket pair in two threads, without `poll`."""

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
        """Bytes from ssh."""
        try:
            return self._near.recv(size)
        except OSError:
            return b""

    def write(self, data: bytes | memoryview) -> int:
        """Send bytes to ssh, as many as the socket takes."""
        if self._broken:
            raise BrokenPipeError("ssh no longer reads")
        try:
            return self._near.send(data)
        except BlockingIOError:
            return 0

    def gone(self, within: float = 0) -> bool:
        """Whether stdin has ended or a write has failed: these pipes show nothing else."""
        return self._left.wait(within)

    def finish(self) -> None:
        """Let the writer thread finish, in two seconds at most."""
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
