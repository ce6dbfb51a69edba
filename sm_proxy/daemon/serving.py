"""`sm-proxy daemon serve`: what the first `connect` starts, and all later ones use."""

from __future__ import annotations

from typing import Final

from sm_proxy.daemon import child, hardening, keeper, listening, place
from sm_proxy.daemon.child import Run
from sm_proxy.daemon.installed import Installed
from sm_proxy.daemon.preload import preload
from sm_proxy.daemon.server import Server
from sm_proxy.daemon.workers import KEEPER, Forks, Job
from sm_proxy.errors import EXIT_OK

_BACKLOG: Final = 128
"""How many connections may wait to be accepted; whoever comes next does the work itself."""


def serve(idle_s: float, run: Run) -> int:
    """Be this user's daemon, unless there is one; returns the exit status when it is over.

    Args:
        idle_s: after how many seconds without work it ends.
        run: runs a command line, in a process of its own.
    """
    identity = place.identity()
    found = listening.listen(identity, _BACKLOG)
    if found is None:
        return EXIT_OK

    def work(job: Job) -> int:
        if job.kind == KEEPER:
            keeper.run(*job.sockets)
            return EXIT_OK
        return child.answer(job, identity, run)

    try:
        hardening.forbid_dumps()
        preload()
        installed = Installed()
        Server(
            found.listener, idle_s, lambda: found.is_gone() or installed.has_changed(), Forks(work)
        ).serve()
    finally:
        found.remove()  # a fork does not come here
    return EXIT_OK
