"""A program that the ssh server of a space runs: a shell or a command, with or without a pty."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

_BLOCK: Final = 1 << 15
_NOT_FOUND: Final = 127


class Program:
    """One program, from its channel's first request to its exit status.

    Args:
        environment: of the program; HOME is where it starts.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._size: tuple[int, int] | None = None
        self._master: int | None = None

    def resize(self, rows: int, columns: int) -> None:
        """Give it a terminal of this size, or change the size."""
        self._size = (rows, columns)
        if self._master is not None:
            _resize(self._master, self._size)

    def run(self, channel: Any, command: bytes | None) -> None:
        """Run it to its end, and send the exit status.

        Args:
            channel: the paramiko channel.
            command: for the shell; None for a login shell.
        """
        status = _NOT_FOUND
        with contextlib.suppress(OSError):  # no shell, or the client is gone
            status = self._run(channel, self._argv(command))
        with contextlib.suppress(OSError, EOFError):
            channel.send_exit_status(status)
        channel.close()

    def _argv(self, command: bytes | None) -> list[str | bytes]:
        shell = shutil.which("bash", path=self.environment["PATH"]) or "/bin/sh"
        self.environment.setdefault("SHELL", shell)
        return [shell, "-l"] if command is None else [shell, "-c", command]

    def _run(self, channel: Any, argv: list[str | bytes]) -> int:
        options: dict[str, Any] = {"env": self.environment, "start_new_session": True}
        options["cwd"] = self.environment["HOME"]
        if self._size is None:
            pipe = subprocess.PIPE
            options |= {"stdin": pipe, "stdout": pipe, "stderr": pipe, "bufsize": 0}
            with subprocess.Popen(argv, **options) as process:
                return self._serve_pipes(channel, process)
        master, slave = pty.openpty()
        try:
            _resize(slave, self._size)
            options |= {"stdin": slave, "stdout": slave, "stderr": slave}
            # Unlike a pty's opening, this makes it the controlling terminal of the new session.
            options["preexec_fn"] = lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            process = subprocess.Popen(argv, **options)
        finally:
            os.close(slave)
        self._master = master
        return self._serve_pty(channel, process, master)

    @staticmethod
    def _serve_pipes(channel: Any, process: subprocess.Popen[bytes]) -> int:
        into, out, err = process.stdin, process.stdout, process.stderr
        assert into is not None  # noqa: S101 - for the type checker
        assert out is not None  # noqa: S101
        assert err is not None  # noqa: S101
        given = (channel.recv, into.write, into.close)
        threading.Thread(target=copy, args=given, daemon=True).start()
        errors = threading.Thread(target=copy, args=(err.read, channel.sendall_stderr))
        errors.start()
        copy(out.read, channel.sendall)
        errors.join()
        return _status(process)

    def _serve_pty(self, channel: Any, process: subprocess.Popen[bytes], master: int) -> int:
        def hang_up() -> None:
            # After its last byte, a client may still read. One that has gone cannot.
            if channel.closed and process.poll() is None:
                os.killpg(process.pid, signal.SIGHUP)

        def write(data: bytes) -> None:
            os.write(master, data)

        threading.Thread(target=copy, args=(channel.recv, write, hang_up), daemon=True).start()
        copy(lambda size: os.read(master, size), channel.sendall, hang_up)
        status = _status(process)
        self._master = None
        os.close(master)
        return status


def copy(
    read: Callable[[int], bytes],
    write: Callable[[bytes], object],
    finish: Callable[[], None] = lambda: None,
) -> None:
    """Copy to the end of either side; a pty whose program has ended fails to be read."""
    with contextlib.suppress(OSError):
        while data := read(_BLOCK):
            write(data)
    with contextlib.suppress(OSError):
        finish()


def _status(process: subprocess.Popen[bytes]) -> int:
    status = process.wait()
    return status if status >= 0 else 128 - status


def _resize(terminal: int, size: tuple[int, int]) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
