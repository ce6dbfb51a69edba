"""The shell of a build: all commands run in it, so `cd` and variables last."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sm_proxy_lab.machines import namespaces

# Descriptors of one digit: dash has no others in redirections.
_LOOP: Final = (
    'exec 8<"$1" 9>"$2"; while IFS= read -r lab_command <&8; do . "$lab_command"; '
    'echo "$?" >&9; done'
)
_FLUSH_S: Final = 0.1


class Interrupted(Exception):  # noqa: N818 - StopBuild and a timeout are no errors of the shell
    """The build is to stop, or its time is over."""


class Shell:
    """One shell process, and the programs that it starts: a session of their own."""

    def __init__(
        self,
        shell: str,
        folder: Path,
        *,
        source: Path,
        environment: dict[str, str],
        output: Callable[[bytes], None],
        netns: int | None,
    ) -> None:
        """Start the shell.

        Args:
            shell: `sh` or `bash`.
            folder: an empty folder for files of our own.
            source: where the commands run.
            environment: their variables.
            output: gets what they print; `b""` from time to time, to send what it has.
            netns: the network namespace for them; None for our own.
        """
        self._folder, self._output, self._count = folder, output, 0
        folder.mkdir(mode=0o700)
        commands, statuses = folder / "commands", folder / "statuses"
        os.mkfifo(commands, 0o600)
        os.mkfifo(statuses, 0o600)
        # Open both ways, else opening would wait for the shell.
        self._commands = os.open(commands, os.O_RDWR | os.O_CLOEXEC)
        self._statuses = os.open(statuses, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        scope = namespaces.entered(netns) if netns is not None else contextlib.nullcontext()
        with scope:
            self._process = subprocess.Popen(
                [shell, "-c", _LOOP, shell, str(commands), str(statuses)],
                cwd=source,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        self._pipe = self._process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        self._ended = os.pidfd_open(self._process.pid)

    @property
    def alive(self) -> bool:
        """Whether it runs; a command may have ended it."""
        return self._process.poll() is None

    def run(self, command: str, wakes: int, deadline: float) -> int:
        """Run a command; return its exit status.

        Args:
            command: text for the shell.
            wakes: a descriptor that becomes readable when the command must end.
            deadline: of the monotonic clock.

        Raises:
            Interrupted: `wakes` is readable, or the time is over.
        """
        self._count += 1
        file = self._folder / f"command-{self._count}"
        file.write_text(command + "\n", encoding="utf-8")
        os.write(self._commands, f"{file}\n".encode())
        with selectors.DefaultSelector() as selector:
            for fd in (self._pipe, self._statuses, self._ended, wakes):
                selector.register(fd, selectors.EVENT_READ)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Interrupted
                ready = {key.fd for key, _ in selector.select(min(left, _FLUSH_S))}
                if self._pipe in ready and not self._read():
                    selector.unregister(self._pipe)
                if wakes in ready:
                    raise Interrupted
                if self._statuses in ready:
                    self._read()
                    return int(os.read(self._statuses, 64).split()[-1])
                if self._ended in ready:
                    self._read()
                    status = self._process.wait()
                    return status if status >= 0 else 128 - status
                if not ready:
                    self._output(b"")

    def _read(self) -> bool:
        """Read all output that is there; return False at its end."""
        while True:
            try:
                data = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._output(data)

    def values(self, names: tuple[str, ...], wakes: int, deadline: float) -> dict[str, str]:
        """The values of variables, empty for one that is not set."""
        file = self._folder / "values"
        words = " ".join(f'"${{{name}-}}"' for name in names)
        self.run(f"printf '%s\\0' {words} > {shlex.quote(str(file))}", wakes, deadline)
        found = file.read_text(encoding="utf-8", errors="replace").split("\0")
        return dict(zip(names, found, strict=False))

    def close(self) -> None:
        """Kill the shell and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdout.close()
        for fd in (self._commands, self._statuses, self._ended):
            os.close(fd)
