"""Processes that have imported everything and wait for one job each; then others replace them.

On macOS a process may not use the system's frameworks after a fork without exec, so a spare is
started like any program. A second connection within the time of its imports finds none ready, and
does the work itself.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Final

from sm_proxy.daemon import wire
from sm_proxy.daemon.inbox import Sender
from sm_proxy.daemon.status import Status
from sm_proxy.daemon.workers import Job

_READY: Final = b"r"
_DESCRIPTORS: Final = 8
_END: Final = b"\n"
_SEND_S: Final = 1.0
_CHUNK: Final = 1 << 16


class Spares:
    """Spare processes.

    Args:
        program: the command line of a program that calls `wait_for_job`.
        count: how many wait at a time.
    """

    def __init__(self, program: Sequence[str], count: int) -> None:
        self._program = list(program)
        self._count = count
        self._spares: list[tuple[int, socket.socket]] = []
        self._fill()

    def start(self, job: Job) -> int:
        """See `workers.Workers.start`."""
        for spare in list(self._spares):
            pid, control = spare
            try:
                is_ready = bool(control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            except BlockingIOError:  # it is still importing
                continue
            except OSError:
                is_ready = False
            self._spares.remove(spare)
            with control:
                if is_ready:  # else it has ended
                    _give(control, job)
                    self._fill()
                    return pid
        self._fill()
        raise BlockingIOError("no spare process is ready")

    def close(self) -> None:
        """End the spare processes: they see the end of their sockets."""
        for _, control in self._spares:
            control.close()
        self._spares.clear()

    def _fill(self) -> None:
        """Start what is missing; where no process can be started, the next `start` tries again."""
        while len(self._spares) < self._count:
            ours, theirs = socket.socketpair()
            with theirs:
                actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)]
                try:
                    pid = os.posix_spawn(
                        self._program[0], self._program, os.environ, file_actions=actions
                    )
                except OSError:
                    ours.close()
                    return
            self._spares.append((pid, ours))


def _give(control: socket.socket, job: Job) -> None:
    """Give a process its job.

    Raises:
        OSError: it has ended.
    """
    control.settimeout(_SEND_S)
    numbers = [job.inbox.fileno(), *(each.fileno() for each in job.sockets)]
    wire.send_with(control, job.kind.encode() + _END, numbers)
    control.sendall(job.status.to_json() + _END)


def wait_for_job() -> Job | None:
    """In a spare process: wait for the job; None if the daemon has ended.

    stdin is the socket to the daemon. Afterwards it is /dev/null.
    """
    with socket.socket(fileno=os.dup(0)) as control:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        with contextlib.suppress(OSError):
            control.sendall(_READY)
        try:
            data, found, _ = wire.receive_with(control, _CHUNK, _DESCRIPTORS)
            while data and data.count(_END) < 2:
                if not (more := control.recv(_CHUNK)):
                    return None
                data += more
        except ConnectionResetError:  # the daemon has ended, and did not read that we are ready
            return None
    if not data:
        return None
    kind, status, _ = data.split(_END)
    inbox, *sockets = (socket.socket(fileno=number) for number in found)
    return Job(kind.decode(), sockets, Status.from_json(status), Sender(inbox))
