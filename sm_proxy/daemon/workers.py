"""The processes that do the daemon's work: a fork for each piece.

A fork has everything imported, which is what makes the next `ssh` fast. On macOS a process may not
use the system's frameworks after a fork without exec: see `spares.py`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from sm_proxy.daemon.inbox import Sender
from sm_proxy.daemon.status import Status
from sm_proxy.errors import EXIT_BUG
from sm_proxy.local import process_identity, signals

CONNECTION: Final = "connection"
"""The kind of a job: serve the request on the job's socket."""
KEEPER: Final = "keeper"
"""The kind of a job: keep a session, with the job's sockets (keepers.py)."""
_DESCRIPTORS: Final = 1024
"""The daemon never has a descriptor with a higher number."""


@dataclass(frozen=True)
class Job:
    """What a process is started for.

    Attributes:
        kind: `CONNECTION` or `KEEPER`.
        sockets: what it works with.
        status: of the daemon, when it gave the job away.
        inbox: to tell the daemon something.
    """

    kind: str
    sockets: Sequence[socket.socket]
    status: Status
    inbox: Sender


Work = Callable[[Job], int]
"""Does a job in a process of its own; returns the exit status."""


class Workers(Protocol):
    """Where the process for a job comes from."""

    def start(self, job: Job) -> int:
        """Start a process for a job, and return its pid.

        Raises:
            OSError: there is none now.
        """

    def close(self) -> None:
        """Close everything: the daemon ends."""


class Forks:
    """A fork for each job.

    Args:
        work: what the fork does.
    """

    def __init__(self, work: Work) -> None:
        self._work = work

    def start(self, job: Job) -> int:
        """See `Workers.start`."""
        if threading.active_count() > 1:
            raise RuntimeError("the daemon has a second thread, so it must not fork")
        # A signal for the fork must not be taken for one of the daemon.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING)
        try:
            pid = os.fork()
            if not pid:
                become(job, self._work, blocked)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return pid

    def close(self) -> None:
        """There is nothing to close."""


def become(job: Job, work: Work, blocked: set[int] | None = None) -> NoReturn:
    """Do a job in this fork, then end the process.

    Args:
        job: its sockets are the only descriptors that are left, besides 0, 1 and 2.
        work: does it.
        blocked: the signals that are blocked from now on.
    """
    status = EXIT_BUG
    try:
        forget_the_parent([job.inbox.fileno(), *(each.fileno() for each in job.sockets)])
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        status = work(job)
        atexit._run_exitfuncs()  # noqa: SLF001 - as multiprocessing does
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    finally:
        os._exit(status)


def forget_the_parent(kept: Collection[int]) -> None:
    """Reset this process to the state of a new one.

    Args:
        kept: the descriptors that are left, besides 0, 1 and 2.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in signals.ENDING:
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, usual)
    start = 3
    for number in sorted(kept):
        os.closerange(start, number)
        start = number + 1
    os.closerange(start, max(start, _DESCRIPTORS))
    with contextlib.suppress(OSError):
        os.setsid()  # a signal to the daemon's group is not for us
    process_identity.this_process.cache_clear()
