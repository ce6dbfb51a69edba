"""The process that answers one connection to the daemon: most often, it becomes a `connect`.

It does what `connect` does in the process that ssh started, with that one's descriptors, variables,
folder and umask. The user's terminal is out of its reach: before a question there, it leaves the
work to the launcher.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sm_proxy.daemon import kept, peers, wire
from sm_proxy.daemon.workers import Job
from sm_proxy.errors import EXIT_EXPECTED, EXIT_OK
from sm_proxy.local import debug_log, fd_passing, poll, prompt, signals, waits
from sm_proxy.routes import ssm_session

Run = Callable[[list[str]], int]
"""Runs a command line, as `cli.main` does."""

_REQUEST_S: Final = 5.0
"""How long a request may take to come."""
_STOP_S: Final = 5.0
_STOP_TICK_S: Final = 0.01
_HOST_LIMIT: Final = 255
_GROUP: Final = 2
_FOREGROUND: Final = 5
"""The fields pgrp and tpgid, after the name of the program."""


class Launcher(fd_passing.Parent):
    """The process that has asked us to work: ssh waits for it."""

    def received(self, word: bytes) -> None:
        """The launcher forwards a signal, which is meant for us."""
        if word[0] in signals.ENDING:
            signals.interrupt_main_thread(word[0])

    def take_back(self) -> None:
        """Give the work back to the launcher, and end, if ssh has received nothing from us yet.

        This happens before the first call to AWS, so there is nothing to clean up.
        """
        if self.stdio is None or not self.stdio.untouched:
            return
        debug_log.write("the launcher works itself: it has the terminal")
        os.dup2(self.stdio.stdin, 0)
        os.dup2(self.stdio.stdout, 1)
        with contextlib.suppress(OSError):
            wire.give_back(self.connection)
        os._exit(EXIT_OK)


def answer(job: Job, identity: str, run: Run) -> int:
    """Serve the request on the job's socket; returns the exit status.

    Args:
        job: of the daemon.
        identity: of the daemon (`place.identity`).
        run: runs a command line.
    """
    connection, reader = job.sockets[0], wire.RequestReader()
    try:
        connection.sendall(wire.READY)
        request = _received(connection, reader)
    except (EOFError, OSError, ValueError):
        return EXIT_EXPECTED
    if request.kind == "connect":
        if request.identity != identity:
            connection.sendall(wire.REFUSED)
            return EXIT_EXPECTED
        return _connect(job, request, reader.descriptors, run)
    if request.kind not in {"status", "stop"}:
        return EXIT_EXPECTED
    if request.kind == "stop":
        _stop(job)
    connection.sendall(job.status.to_json())
    return EXIT_OK


def _received(connection: socket.socket, reader: wire.RequestReader) -> wire.Request:
    """The request.

    Raises:
        TimeoutError: it is not whole in time.
        EOFError: the other end has gone.
        OSError: the connection is lost.
        ValueError: it is none.
    """
    until = time.monotonic() + _REQUEST_S
    while poll.wait([connection.fileno()], [], [], until - time.monotonic()).readable:
        if (request := reader.receive(connection)) is not None:
            return request
    raise TimeoutError("the request is not whole")


def _connect(job: Job, request: wire.Request, descriptors: Sequence[int], run: Run) -> int:
    connection = job.sockets[0]
    try:
        _take_place(request, descriptors)
        connection.settimeout(_REQUEST_S)
        connection.sendall(wire.TAKEN)
        if connection.recv(1) != wire.GO:
            return EXIT_EXPECTED
    except (OSError, ValueError):
        return EXIT_EXPECTED
    connection.settimeout(None)
    launcher = Launcher(connection)
    fd_passing.adopt(launcher)
    launcher.watch()
    prompt.have_no_terminal(launcher.take_back)
    waits.set_foreground_test(lambda _: _in_foreground(connection))
    ssm_session.kept_source = kept.source(job.inbox.send)
    words = [os.fsdecode(word) for word in request.words]
    sys.argv = ["sm-proxy", *words]
    with contextlib.suppress(OSError):
        host = _host(words)[:_HOST_LIMIT]
        job.inbox.send({"pid": os.getpid(), "host": host})
    status = _status(run, words)
    with contextlib.suppress(OSError):  # it may have ended, with ssh
        wire.end(connection, status)
    return status


def _in_foreground(launcher: socket.socket) -> bool:
    """Whether the launcher's process group has its terminal, which is not ours to ask.

    Raises:
        OSError: the launcher has ended.
    """
    if sys.platform != "linux":
        return False
    stat = Path(f"/proc/{peers.refuse_foreign_user(launcher)}/stat").read_text(encoding="utf-8")
    fields = stat.rpartition(")")[2].split()  # proc_pid_stat(5): state, ppid, pgrp, ...
    return fields[_GROUP] == fields[_FOREGROUND]


def _status(run: Run, words: list[str]) -> int:
    try:
        return run(words)
    except SystemExit as end:  # argparse, after a wrong option or the help
        return end.code if isinstance(end.code, int) else EXIT_OK


def _take_place(request: wire.Request, descriptors: Sequence[int]) -> None:
    """Take over the launcher's descriptors, variables, folder and umask.

    Raises:
        OSError: a descriptor is none that we can use.
        ValueError: some are missing.
    """
    if len(descriptors) != wire.DESCRIPTORS:
        raise ValueError("the request has too few descriptors")
    *standard, folder = descriptors
    os.fchdir(folder)
    for own, usual in zip(standard, range(3), strict=True):
        os.dup2(own, usual)
    for own in descriptors:
        os.close(own)
    _open_standard_streams()
    os.umask(request.umask)
    os.environ.clear()
    for variable in request.environment:
        name, is_one, value = variable.partition(b"=")
        if name and is_one:
            os.environb[name] = value
    time.tzset()
    debug_log.restart()


def _open_standard_streams() -> None:
    """Reopen Python's file objects: the old ones cache properties of the old files."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if (old := getattr(sys, name)) is None:  # it was closed when the daemon began
            continue
        mode = "w" if number else "r"
        new = open(number, mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115 - stays open
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)


def _host(words: Sequence[str]) -> str:
    """The host name in a command line; every option takes a value, as in `cli`."""
    rest = iter(words[words.index("connect") + 1 :] if "connect" in words else ())
    for word in rest:
        if not word.startswith("--"):
            return word
        if "=" not in word:
            next(rest, None)
    return ""


def _stop(job: Job) -> None:
    """End the daemon and all its processes; wait until they have ended."""
    with contextlib.suppress(OSError):
        job.inbox.send({"stop": True, "pid": os.getpid()})
    until = time.monotonic() + _STOP_S
    while os.getppid() == job.status.pid and time.monotonic() < until:
        time.sleep(_STOP_TICK_S)
