"""Run the lab's CMD: `python -m sm_proxy_lab.command_guard SUPERVISOR_PID GROUP FOLDER CMD...`.

Stands between the supervisor and CMD so that CMD's descendants have a reaper even if the supervisor
and the caller's process are both killed, in one blow or one after the other; then it also removes
the lab's FOLDER. A supervisor that ends the lab before CMD has ended leaves both to it, by SIGUSR1.
Exits with CMD's status, 128+n for a signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from sm_proxy_lab import ssh_programs
from sm_proxy_lab.machines import namespaces, reap

_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_STOPPING = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


def join(group: int) -> None:
    """Enter the caller's process group: there CMD may read the terminal and hears ^C itself.

    From now on no signal reaches this process before it knows what to do then. Called before the
    guard is one, too: the supervisor leaves a terminal's signals to this group.
    """
    signals = {*_FROM_TERMINAL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with contextlib.suppress(OSError):
        os.setpgid(0, group)


def main() -> None:
    """Run CMD and see its descendants off."""
    supervisor, group, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    join(group)
    namespaces.die_with_parent(supervisor, signal.SIGUSR1)
    namespaces.become_subreaper()
    guard = os.getpid()
    missed = signal.sigpending().intersection(_FROM_TERMINAL)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as it will be: it may be there already
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        _become_command(guard, Path(folder), sys.argv[4:])

    def hand_on(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    def end(*_: object) -> None:
        reap.kill_descendants()
        reap.remove_folder(folder)
        os._exit(125)

    for number in missed:
        hand_on(number, None)
    # Whoever is stopped sees nobody off: a ^Z is for CMD alone.
    for number in (*_FROM_TERMINAL, *_STOPPING):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, hand_on)
    # The supervisor asks for an interrupt by this one: a terminal's ^C must not arrive twice.
    signal.signal(signal.SIGUSR2, lambda *_: hand_on(signal.SIGINT, None))
    signal.signal(signal.SIGUSR1, end)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os._exit(_wait_for(child))


def _wait_for(child: int) -> int:
    """Collect orphans until CMD itself has ended; return its status."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _become_command(guard: int, folder: Path, command: list[str]) -> None:
    namespaces.die_with_parent(guard)
    ssh_programs.cover(folder)
    try:
        os.execvp(command[0], command)  # noqa: S606
    except FileNotFoundError:
        status, why = 127, "command not found"
    except OSError as error:
        status, why = 126, str(error.strerror)
    sys.stderr.write(f"sm-proxy lab: {command[0]}: {why}\n")
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
