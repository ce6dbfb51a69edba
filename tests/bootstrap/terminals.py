"""A shell session without AWS: a shell on a pty, behind the filter of the agent's sessions."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from sm_proxy.bootstrap.shell import RemoteShell
from sm_proxy_lab.machines import reap
from tests import terminals

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def filtered(held: bytes) -> tuple[bytes, bytes]:
    """What the agent passes on of a terminal's output, and what it holds back until more comes.

    It decodes UTF-8 rune by rune (A: session/shell/shell.go, processStdoutData): an invalid byte
    passes, a true U+FFFD shrinks to its first byte, and an unfinished rune at the end waits.
    """
    tail = len(held)
    while tail and len(held) - tail < 3 and held[tail - 1] >= 0x80:
        tail -= 1
    return held[:tail].replace(b"\xef\xbf\xbd", b"\xef"), held[tail:]


class Terminal:
    """A program on a pty; `near` is the socket for `RemoteShell`."""

    def __init__(self, words: list[str], environment: Mapping[str, str], profile: bytes) -> None:
        self.near, self._far = socket.socketpair()
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            words,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(environment),
            **terminals.controlling(slave),
        )
        os.close(slave)
        # As the agent does with the account's shell profile: it types it.
        if profile:
            os.write(self._master, profile)
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._up, self._down)
        ]
        for thread in self._threads:
            thread.start()

    def cut(self) -> None:
        """End the session as the service does: the terminal is gone."""
        for process in [self.process.pid, *reap.descendants(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(process) == self.process.pid:
                    os.kill(process, signal.SIGKILL)

    def close(self) -> None:
        self.cut()
        self.process.wait(60)
        self.near.close()
        for thread in self._threads:
            thread.join(60)
        self._far.close()
        os.close(self._master)

    def _up(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._far.recv(1 << 14):
                while data:
                    data = data[os.write(self._master, data) :]

    def _down(self) -> None:
        held = b""
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 1024):
                passed, held = filtered(held + data)
                self._far.sendall(passed)
        with contextlib.suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def session(
    *words: str, profile: bytes = b"", environment: Mapping[str, str] | None = None
) -> Iterator[RemoteShell]:
    """A shell session, not yet entered; `words` is its program, by default an interactive sh."""
    terminal = Terminal(list(words or ("sh", "-i")), environment or {"PATH": SYSTEM_PATH}, profile)
    try:
        shell = RemoteShell(terminal.near, lambda: None)
        shell.terminal = terminal  # type: ignore[attr-defined]
        yield shell
    finally:
        terminal.close()


def programs(folder: Path, *names: str) -> dict[str, str]:
    """An environment whose PATH has these programs only."""
    import shutil

    folder.mkdir()
    for name in names:
        found = shutil.which(name, path=SYSTEM_PATH)
        assert found, f"this machine has no {name}"
        (folder / name).symlink_to(found)
    return {"PATH": str(folder)}
