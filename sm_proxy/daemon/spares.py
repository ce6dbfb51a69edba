"""A process that has imported everything and waits for one job; then it is replaced by another.

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

from sm_proxy.daemon.inbox import Inbox
from sm_proxy.daemon.keepers import Keepers
from sm_proxy.daemon.status import Status
from sm_proxy.daemon.workers import Job

_READY: Final = b"r"
_DESCRIPTORS: Final = 8
_END: Final = b"\n"
_SEND_S: Final = 1.0
_CHUNK: Final = 1 << 16


class Spares:
    """One spare process at a time.

    Args:
        program: the command line of a program that calls `wait_for_job`.
    """

    def __init__(self, program: Sequence[str]) -> None:
        self._program = list(program)
        self._spare: tuple[int, socket.socket] | None = None
        self._prepare()

    def start(self, job: Job) -> int:
        """See `workers.Workers.start`."""
        if self._spare is None:
            self._prepare()
            raise BlockingIOError("no spare process is ready")
        pid, control = self._spare
        with contextlib.suppress(BlockingIOError):
            if control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                self._spare = None
                with control:
                    _give(control, job)
                self._prepare()
                return pid
            self.close()  # it has ended
            self._prepare()
        raise BlockingIOError("no spare process is ready")

    def close(self) -> None:
        """End the spare process, which sees the end of its socket."""
        if self._spare is not None:
            self._spare[1].close()
            self._spare = None

    def _prepare(self) -> None:
        """Start a spare process; without one, the next `start` tries again."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                pid = os.posix_spawn(
                    self._program[0],
                    self._program,
                    os.environ,
                    file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
                )
            except OSError:
                ours.close()
                return
        self._spare = pid, ours


def _give(control: socket.socket, job: Job) -> None:
    """Give a process its job.

    Raises:
        OSError: it has ended.
    """
    control.settimeout(_SEND_S)
    own = [job.inbox.writer.fileno(), job.keepers.asker()]
    socket.send_fds(control, [job.kind.encode() + _END], [*own, *(s.fileno() for s in job.sockets)])
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
        data, found, _, _ = socket.recv_fds(control, _CHUNK, _DESCRIPTORS)
        while data and data.count(_END) < 2:
            if not (more := control.recv(_CHUNK)):
                return None
            data += more
    if not data:
        return None
    kind, status, _ = data.split(_END)
    writer, asker, *sockets = (socket.socket(fileno=number) for number in found)
    return Job(
        kind.decode(), sockets, Status.from_json(status), Inbox(writer), Keepers.elsewhere(asker)
    )
