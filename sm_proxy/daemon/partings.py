"""The ends, and long transfers, of connections that were left to their keeper.

Each is reported by a process of its own, as the connection's child would have reported it: it has
the connection's stderr and the variables that say where records are. It may hang, the keeper may
not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from sm_proxy import error_handler
from sm_proxy.daemon import hardening, workers
from sm_proxy.daemon.endings import Ending
from sm_proxy.daemon.settled import Settled
from sm_proxy.errors import EXIT_OK
from sm_proxy.local import debug_log, signals
from sm_proxy.local.threads import Background
from sm_proxy.state import connection_log, transfer_hint

NAME: Final = "sm-proxy end"
LAST_LINE_S: Final = 2.5
"""How long the last line may take: stderr may be blocked."""
_LIMIT_S: Final = 8
"""How long such a process may live."""
PATIENCE_S: Final = 2.0
"""How long to wait for the end of other threads. A fork beside them may find a lock that is held,
which its time limit ends."""
_TICK_S: Final = 0.05


@dataclass(frozen=True)
class Parting:
    """The end of a connection.

    Attributes:
        settled: the connection.
        ending: why it has ended; None for a clean end.
        up: how many bytes have come from ssh.
        down: how many bytes ssh has taken.
        resumes: how often the session was resumed.
    """

    settled: Settled
    ending: Ending
    up: int
    down: int
    resumes: int


@dataclass(frozen=True)
class Transfer:
    """A long transfer of a connection that goes on.

    Attributes:
        settled: the connection.
        rate: what it gets, in bytes a second.
    """

    settled: Settled
    rate: float


class Partings:
    """The reports that are due, and the processes that make them."""

    def __init__(self) -> None:
        self._waiting: list[Parting | Transfer] = []
        self._until = 0.0
        self._telling: set[int] = set()

    def add(self, parting: Parting | Transfer, now: float) -> None:
        """Queue the report of an end, and then close its sockets; or queue that of a transfer."""
        if not self._waiting:
            self._until = now + PATIENCE_S
        self._waiting.append(parting)

    def deadline(self, now: float) -> float:
        """When to call `advance` at the latest, in the time of `time.monotonic`."""
        return now + _TICK_S if self._waiting or self._telling else float("inf")

    def advance(self, now: float) -> None:
        """Start what can be started, and forget what has ended."""
        if self._waiting and (threading.active_count() == 1 or now >= self._until):
            self.start()
        for pid in list(self._telling):
            with contextlib.suppress(ChildProcessError):
                if not os.waitpid(pid, os.WNOHANG)[0]:
                    continue
            self._telling.remove(pid)

    def start(self) -> None:
        """Start all that wait."""
        for parting in self._waiting:
            with contextlib.suppress(OSError):  # no process is left: ssh sees the end
                self._telling.add(fork(parting))
            if isinstance(parting, Parting):
                parting.settled.close()
        self._waiting.clear()


def fork(parting: Parting | Transfer) -> int:
    """Tell an end or a transfer in another process; returns its id.

    Raises:
        OSError: there is none.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING)
    try:
        pid = os.fork()
        if not pid:
            _become(parting, blocked)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pid


def _become(parting: Parting | Transfer, blocked: set[int]) -> NoReturn:
    try:
        hardening.name_process(NAME)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_LIMIT_S)
        settled = parting.settled
        ends = [settled.ssh.fileno()] if isinstance(parting, Parting) else []
        workers.forget_the_parent([*ends, settled.stderr])
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        _take_place(settled)
        if isinstance(parting, Parting):
            _report(parting)
        else:
            transfer_hint.show(parting.rate)
    finally:
        os._exit(EXIT_OK)


def _take_place(settled: Settled) -> None:
    """Give this process the state of the connection's own process."""
    os.environ.clear()
    os.environ.update(settled.environment)
    with contextlib.suppress(OSError):
        os.chdir(settled.folder)
    sys.argv = settled.arguments
    os.dup2(settled.stderr, 2)
    sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115 - stays open
    debug_log.restart()


def _report(parting: Parting) -> None:
    settled = parting.settled
    failure = settled.failure(parting.ending)
    if failure is not None:  # ssh sees its end only after that
        Background(lambda: error_handler.report_now(failure), or_here=True).settled(LAST_LINE_S)
    settled.ssh.close()
    debug_log.write("closed")
    if failure is not None:
        error_handler.keep_now("connect", failure)
    record = replace(settled.record, up=parting.up, down=parting.down, resumes=parting.resumes)
    connection_log.append(record, settled.began, failure)
