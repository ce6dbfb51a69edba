"""Ask this user's daemons for their status, or to end; for commands."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sm_proxy.daemon import listening, peers, place, starting, wire
from sm_proxy.daemon.status import Status
from sm_proxy.errors import SmProxyError
from sm_proxy.local import output, process_identity, waits
from sm_proxy.settings import Settings

STATUS: Final = "status"
STOP: Final = "stop"
_ANSWER_S: Final = 5.0
"""How long a daemon may take for its answer, which it gives at once unless the machine is busy."""
_START_S: Final = 10.0
"""How long a daemon may take to start; it imports everything first."""
_READY_S: Final = 20.0
"""How long its next process may take to be ready: on macOS it may have to import all of it."""
_END_S: Final = 20.0
"""How long its processes may take to end: each ends its session by a call to AWS."""
_REPORT_AFTER_S: Final = 1.0
_PAUSE_S: Final = 0.02
_LARGEST: Final = 1 << 20


@dataclass(frozen=True)
class Daemon:
    """A daemon that has answered.

    Attributes:
        socket: where it listens.
        status: its answer.
    """

    socket: str
    status: Status

    @property
    def is_ours(self) -> bool:
        """Whether it serves the ssh of this program; else it is of another version or place."""
        return self.socket in place.sockets(place.identity())

    @property
    def pids(self) -> list[int]:
        """All its processes, itself first."""
        told = self.status
        return [told.pid, *(c.pid for c in told.connections), *(s.pid for s in told.sessions)]


def sockets() -> list[str]:
    """The sockets of this user's daemons: ours, and those of other versions in the same folder."""
    own = place.sockets(place.identity())
    beside = Path(own[0]).parent.glob("*.sock") if own else ()  # a lab has a folder of its own
    return list(dict.fromkeys(path for path in [*own, *map(str, beside)] if os.path.lexists(path)))


def hindrance(settings: Settings) -> str:
    """Why no ssh in this environment starts a daemon, for people; empty if ssh starts one.

    Args:
        settings: of that ssh.
    """
    if not settings.daemon_idle:
        return "the setting daemon_idle = 0"
    for name in filter(os.environ.get, place.PRELOADED):
        return f"the variable {name}"
    return "" if starting.is_unlimited() else "a limit of this shell (`ulimit -a`)"


def refuse_stranger() -> None:
    """Refuse a socket that keeps the launcher away.

    Raises:
        SmProxyError: `bad-permissions`, it may not be this user's alone.
    """
    for path in filter(os.path.lexists, place.sockets(place.identity())):
        with contextlib.suppress(OSError):  # nobody listens, or it does not answer: see `running`
            try:
                peers.connect(path, _ANSWER_S).close()
            except peers.StrangerError as error:
                what = f"no daemon is used: {error}"
                raise SmProxyError("bad-permissions", what, f"Remove {path}.") from None


def running(*, resume: bool = False) -> Iterator[Daemon]:
    """The daemons that answer.

    Args:
        resume: whether to resume a daemon that is stopped (SIGSTOP).

    Raises:
        SmProxyError: `busy`, one of them listens and does not answer.
    """
    _await_start()
    for path in sockets():
        try:
            answer = _status(path, resume=resume)
        except OSError:  # it was killed, or is in another place
            continue
        with contextlib.suppress(ValueError):
            yield Daemon(path, Status.from_json(answer))


def stop(daemon: Daemon) -> None:
    """End a daemon, its connections and its sessions; returns once they have ended.

    Raises:
        SmProxyError: `busy`, they have not ended.
    """
    alive = {pid: begun for pid in daemon.pids if (begun := _begun(pid))}
    with contextlib.suppress(OSError):  # it has ended
        _ask(daemon.socket, STOP)
    began = time.monotonic()
    with waits.waiting("ending the daemon", _END_S) as wait:
        while left := [pid for pid, begun in alive.items() if _begun(pid) == begun]:
            waited = time.monotonic() - began
            if waited > _END_S:
                pids = " ".join(map(str, left))
                what = f"the daemon's processes have not ended in {_END_S:.0f} s: {pids}"
                raise SmProxyError("busy", what, f"End them with: kill -9 {pids}")
            if waited > _REPORT_AFTER_S:
                wait.tell("waiting until the daemon has ended its sessions", output.status)
            time.sleep(_PAUSE_S)


def tidy() -> None:
    """Remove the files of daemons that were killed."""
    for path in sockets():
        listening.sweep(Path(path).parent)


def folders() -> list[Path]:
    """The folders that exist in which a daemon may listen."""
    found = dict.fromkeys(Path(path).parent for path in place.sockets(place.identity()))
    return [folder for folder in found if folder.is_dir()]


def forget() -> None:
    """Remove the files of daemons that have ended, and the folders that are empty then."""
    for folder in folders():
        listening.sweep(folder)
        with contextlib.suppress(OSError):
            folder.rmdir()


def _await_start() -> None:
    """Wait for a daemon that is starting and does not listen yet: `stop` must end it, too."""
    whose, until = place.identity(), time.monotonic() + _START_S
    while listening.is_starting(whose) and time.monotonic() < until:
        time.sleep(_PAUSE_S)


def _status(path: str, *, resume: bool) -> bytes:
    """What a daemon answers about itself.

    Raises:
        OSError: it was killed, or is in another place.
        SmProxyError: `busy`, as `running`.
    """
    silent = (BlockingIOError, TimeoutError)  # its backlog is full, or it does not answer
    try:
        return _ask(path, STATUS)
    except silent:
        pid = _listener(path)
    if pid and resume:
        os.kill(pid, signal.SIGCONT)
        with contextlib.suppress(*silent):
            return _ask(path, STATUS)
    raise SmProxyError(
        "busy",
        f"the daemon at {path} does not answer",
        f"End it with: kill -9 {pid}" if pid else "Try again, or remove that socket.",
    )


def _ask(path: str, kind: str) -> bytes:
    """Ask a daemon; its answer up to its end.

    On macOS a spare process answers, which may have to be started first.

    Raises:
        OSError: it has gone, is no daemon of ours, or does not answer in time.
    """
    until = time.monotonic() + _READY_S
    while not (answer := _answer(path, kind)) and time.monotonic() < until:
        time.sleep(_PAUSE_S)
    return answer


def _answer(path: str, kind: str) -> bytes:
    """What it answers now; empty if no process of it is ready.

    Raises:
        OSError: as `_ask`.
    """
    answer = b""
    connection = peers.connect(path, _ANSWER_S)
    with (
        contextlib.closing(connection),
        contextlib.suppress(BrokenPipeError, ConnectionResetError),
    ):
        wire.send_request(connection, wire.Request(kind, place.identity()), ())
        while len(answer) < _LARGEST and (data := connection.recv(1 << 16)):
            answer += data
    return answer


def _begun(pid: int) -> str:
    """When a process started; empty if it has ended or cannot be looked at."""
    with contextlib.suppress(PermissionError):
        return process_identity.start_time(pid)
    return ""


def _listener(path: str) -> int:
    """The process that listens; 0 if its backlog is full, or the system does not tell."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_S)
        connection.connect(path)
        return peers.refuse_foreign_user(connection)
    return 0
