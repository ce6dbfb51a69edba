"""`sm-proxy daemon serve`: what the first `connect` starts, and all later ones use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sm_proxy.daemon import child, hardening, keeper, listening, place
from sm_proxy.daemon.child import Run
from sm_proxy.daemon.installed import Installed
from sm_proxy.daemon.preload import preload
from sm_proxy.daemon.server import Server
from sm_proxy.daemon.spares import Spares, wait_for_job
from sm_proxy.daemon.workers import KEEPER, Forks, Job, Work, become
from sm_proxy.errors import EXIT_OK

_BACKLOG: Final = 128
"""How many connections may wait to be accepted; further launchers do the work themselves."""
_SPARES: Final = 2
"""One for the next connection, one for the keeper that this connection may need."""


def serve(idle_s: float, run: Run, prepare: Callable[[], None], spare: Sequence[str] = ()) -> int:
    """Run this user's daemon, unless one runs already; returns the exit status at its end.

    Args:
        idle_s: after how many seconds without work it ends.
        run: runs a command line, in a process of its own.
        prepare: makes what `run` needs.
        spare: the command line of a program that calls `be_spare`, where a fork must not do the
            work: on macOS.
    """
    identity = place.identity()

    def begin() -> None:
        hardening.forbid_dumps()
        if not spare:
            preload(prepare)

    found = listening.listen(identity, _BACKLOG, begin)
    if found is None:
        return EXIT_OK
    listening.end_start()
    try:
        installed = Installed()
        workers = Spares(spare, _SPARES) if spare else Forks(_work(identity, run))
        Server(
            *(found.listener, idle_s, lambda: found.is_gone() or installed.has_changed()),
            *(workers, found.watch),
        ).serve()
    finally:
        found.remove()  # a fork does not come here
    return EXIT_OK


def be_spare(run: Run, prepare: Callable[[], None]) -> int:
    """Wait for one job of the daemon that has started this process, and do it.

    Args:
        run: runs a command line.
        prepare: makes what `run` needs.
    """
    hardening.forbid_dumps()
    identity = place.identity()
    preload(prepare)
    if (job := wait_for_job()) is not None:
        become(job, _work(identity, run))
    return EXIT_OK


def _work(identity: str, run: Run) -> Work:
    def work(job: Job) -> int:
        if job.kind == KEEPER:
            keeper.run(*job.sockets)
            return EXIT_OK
        return child.answer(job, identity, run)

    return work
