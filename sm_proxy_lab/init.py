"""The lab's init: the parent of all processes that a lab starts.

    caller (`lab run`) -> init -> supervisor -> CMD, AWS endpoint, gateway, containers

Init adopts processes whose parent has ended. When the supervisor has ended, it ends everything else
and removes the lab's folder. Where permitted, init is process 1 of a PID namespace with a /proc of
its own: the kernel then ends everything at once when init ends, even by SIGKILL. Elsewhere init
and the caller are child subreapers, and kill what is below them.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

from sm_proxy_lab.errors import report
from sm_proxy_lab.machines import namespaces, reap
from sm_proxy_lab.python import python_module

FAILED: Final = 125
FROM_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT)
HELD_BACK: Final = (
    *FROM_TERMINAL,
    *(signal.SIGTERM, signal.SIGHUP),
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
)
"""Signals that the supervisor blocks. It stays in the caller's process group, so that CMD starts in
that group and may use the terminal. But the group's signals are for the caller and CMD."""


def may_have_own_pids() -> bool:
    """Whether this process may make a PID namespace and mount a /proc for it."""

    def try_it() -> None:
        if not namespaces.may_isolate(namespaces.CLONE_NEWPID | namespaces.CLONE_NEWNS):
            raise PermissionError
        # In a user namespace, the kernel refuses a new /proc where the old one is masked.
        namespaces.unshare(namespaces.CLONE_NEWPID)
        if not namespaces.succeeds(_mount_proc):
            raise PermissionError

    # In a child process: it removes its temporary folder even if we are killed meanwhile.
    return os.geteuid() == 0 and namespaces.succeeds(try_it)


def start(supervisor: list[str], options: int, caller: int, folder: str, *, own_pids: bool) -> int:
    """Start init, and below it the supervisor; return init's pid.

    Args:
        supervisor: the supervisor's command; `options` is added to it.
        options: the pipe from which the supervisor reads.
        caller: the writing end of that pipe; only the caller keeps it open.
        folder: a path for the lab's folder, which init makes and removes.
        own_pids: make a PID namespace. The caller's later children would be in it, too.
    """
    if own_pids:
        namespaces.unshare(namespaces.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        os.close(caller)
        _run([*supervisor, str(options)], options, folder, own_pids=own_pids)
    os.close(options)
    return pid


def _run(supervisor: list[str], options: int, folder: str, *, own_pids: bool) -> NoReturn:
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        Path(folder).mkdir(mode=0o700)
        if own_pids:
            _mount_proc()
        else:
            namespaces.become_subreaper()
        os.set_inheritable(options, True)
        child = os.fork()
        if child == 0:
            os.execv(supervisor[0], supervisor)  # noqa: S606
        # Leave the caller's process group: a SIGKILL of the whole group must not reach us.
        os.setsid()
        # And under a name of our own: `pkill -f "lab run"` must not reach us either.
        program = [*python_module("sm_proxy_lab.init"), str(child), str(options), folder]
        os.execv(program[0], program)  # noqa: S606
    except OSError as error:
        report(f"the lab's init failed: {error}")
    finally:
        reap.clean_up(folder)
        os._exit(FAILED)


def main() -> NoReturn:
    """Wait for the supervisor, then end the lab; its pid, the pipe and the folder are arguments."""
    supervisor, options, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    status = FAILED
    try:
        status = _wait_for(supervisor)
    finally:
        reap.clean_up(folder)
        if status < 0 and not _has_ended(options):
            report("the lab's supervisor was killed")
        os._exit(status if status >= 0 else FAILED)


def _mount_proc() -> None:
    namespaces.unshare(namespaces.CLONE_NEWNS)
    namespaces.make_mounts_private(keep_up=True)
    namespaces.mount("proc", "/proc", "proc", namespaces.MS_NOSUID | namespaces.MS_NODEV)


def _wait_for(supervisor: int) -> int:
    """Collect adopted processes until the supervisor has ended.

    Returns:
        The supervisor's exit status, or -n if the signal n ended it.
    """
    while True:
        pid, status = os.wait()
        if pid == supervisor:
            return os.waitstatus_to_exitcode(status)


def _has_ended(pipe: int) -> bool:
    """Whether the process that writes to `pipe`, the caller, has ended."""
    poll = select.poll()
    poll.register(pipe, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


if __name__ == "__main__":
    main()
