"""A daemon whose processes run a command line of the test instead of `connect`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sm_proxy.daemon import wire
from sm_proxy.daemon.status import Status
from tests.waits import await_true, listens

IDENTITY = "the same"
_WAIT_S = 60.0
_PROGRAM = """
import json, os, signal, socket, sys, threading, time
from pathlib import Path
from sm_proxy.daemon import child
from sm_proxy.daemon.file_watch import Watch
from sm_proxy.daemon.server import Server
from sm_proxy.daemon.spares import Spares, wait_for_job
from sm_proxy.daemon.workers import Forks, become
from sm_proxy.local import prompt, signals, stdio

usual = (signal.SIG_DFL, signal.default_int_handler)

def run(words):
    if words[0] == "tell":
        print(json.dumps({
            "argv": sys.argv, "cwd": os.getcwd(), "umask": os.umask(0), "pid": os.getpid(),
            "parent": os.getppid(), "group": os.getpgrp(), "environment": dict(os.environ),
            "descriptors": sorted(map(int, os.listdir("/proc/self/fd"))),
            "usual": [signal.getsignal(n) in usual for n in (*signals.ENDING, signal.SIGCHLD)],
        }))
        print("said", file=sys.stderr)
        return int(words[1])
    if words[0] == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if words[0] == "exit":
        sys.exit(None if words[1] == "None" else int(words[1]))
    if words[0] == "raise":
        raise RuntimeError("a bug")
    if words[0] == "ask":
        own = stdio.take_over()
        if words[1] == "late":
            own.write(b"bytes")
        try:
            prompt.ask("code?")
        except prompt.NobodyToAskError:
            return 5
    signals.raise_on_hangup()
    try:
        print("waiting", flush=True)
        while True:  # a signal just before a sleep does not end it
            time.sleep(0.05)
    except signals.Hangup as error:
        print(f"hangup {error.args[0]}", flush=True)
        return 130

def work(job):
    return child.answer(job, "the same", run)

kind, path, idle, outdated = sys.argv[1:]
if kind == "spare":
    if (job := wait_for_job()) is not None:
        become(job, work)
    sys.exit()
spare = [sys.executable, "-I", "-c", sys.orig_argv[3], "spare", path, idle, outdated]
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(path)
    listener.listen(128)
    workers = Spares(spare, 1) if kind == "spares" else Forks(work)
    watch = Watch(Path("/" if kind == "untold" else path))
    if kind == "untold":
        watch.close()
        watch.look_s = 0.1
    is_outdated = lambda: Path(outdated).exists() or not Path(path).exists()
    Server(listener, float(idle), is_outdated, workers, watch).serve()
"""


class Resident:
    """A daemon of the test.

    Args:
        folder: for its socket.
        kind: `forks` or `spares`; `untold`, forks where the system tells of no removed file.
        idle: after how many seconds without work it ends.
    """

    def __init__(self, folder: Path, kind: str = "forks", idle: float = 600) -> None:
        self.path, self.outdated = folder / "s", folder / "outdated"
        command = [sys.executable, "-I", "-c", _PROGRAM, kind, str(self.path)]
        self.process = subprocess.Popen([*command, str(idle), str(self.outdated)])
        await_true(lambda: listens(self.path), _WAIT_S, alive=self.process)

    def ask(self, kind: str) -> bytes:
        """What it answers to a request of this kind."""
        with self.connected() as connection:
            wire.send_request(connection, wire.Request(kind, "another"), ())
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))

    def is_ready(self) -> bool:
        """Whether it answers; with spares, one that is ready is used up by this."""
        with contextlib.suppress(OSError):
            return bool(self.ask("status"))
        return False

    def status(self) -> Status:
        """What it holds."""
        return Status.from_json(self.ask("status"))

    @contextlib.contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A connection to it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_WAIT_S)
            connection.connect(str(self.path))
            yield connection

    def stop(self) -> None:
        """End it, and all of it."""
        with contextlib.suppress(OSError):
            self.ask("stop")
        self.process.wait(_WAIT_S)

    def asked(self, *words: str, **more: Any) -> Asked:
        """A process of it that is to run these words, and has not begun."""
        return Asked(self, words, **more)

    def told(self, *words: str, **more: Any) -> dict[str, Any]:
        """What a process says of itself that runs `tell` to its end."""
        with self.asked("tell", *(words or ("0",)), **more) as asked:
            asked.go()
            found: dict[str, Any] = json.loads(asked.out())
            return found


class Asked:
    """A request as the launcher sends it, up to its end.

    Args:
        resident: the daemon.
        words: the command line.
        environment: all variables.
        folder: the working folder.
        umask: of the launcher.
        identity: of the launcher.
        descriptors: instead of pipes and the folder.
    """

    def __init__(
        self,
        resident: Resident,
        words: Sequence[str],
        *,
        environment: Sequence[bytes] = (),
        folder: str = "/",
        umask: int = 0o22,
        identity: str = IDENTITY,
        descriptors: Sequence[int] | None = None,
    ) -> None:
        self._stack = contextlib.ExitStack()
        self.connection = self._stack.enter_context(resident.connected())
        self._ends = [*os.pipe(), *os.pipe(), *os.pipe()]
        self.stdin, self._out, self._err = self._ends[1], self._ends[2], self._ends[4]
        where = os.open(folder, os.O_RDONLY)
        given = [self._ends[0], self._ends[3], self._ends[5], where]
        request = wire.Request(
            "connect", identity, [os.fsencode(word) for word in words], environment, umask
        )
        with contextlib.suppress(ConnectionError):  # it was closed at once
            wire.send_request(
                self.connection, request, given if descriptors is None else list(descriptors)
            )
        for number in given:
            os.close(number)
        self._ends = [self.stdin, self._out, self._err]

    def __enter__(self) -> Asked:  # noqa: PYI034 - Self is 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for number in self._ends:
            os.close(number)

    def word(self) -> bytes:
        """The next byte that it tells the launcher; none at the end."""
        try:
            return self.connection.recv(1)
        except ConnectionResetError:  # it was closed without reading the request
            return b""

    def go(self) -> None:
        """Let it begin, once it is ready."""
        assert self.word() == wire.TAKEN
        self.connection.sendall(wire.GO)

    def status(self) -> int:
        """Its exit status."""
        assert self.word() == wire.ENDED
        return self.word()[0]

    def out(self) -> bytes:
        """All of its stdout, up to its end."""
        return b"".join(iter(lambda: os.read(self._out, 1 << 16), b""))

    def line(self) -> bytes:
        """What it has written to stdout by now, at least a byte."""
        return os.read(self._out, 1 << 16)

    def err(self) -> bytes:
        """All of its stderr, up to its end."""
        return b"".join(iter(lambda: os.read(self._err, 1 << 16), b""))
