"""A thread for each connection, and the works that they share.

The first connection starts at once, while the others open. A lost connection gives its work back
and is replaced. A failure of one file becomes a `Problem`, and the rest continues. A copy that
cannot continue ends with the code of the cause: a job's end, not a lost session.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol, runtime_checkable

import paramiko

from sm_proxy.errors import SmProxyError
from sm_proxy.local import threads
from sm_proxy.transfer.growth import Growth
from sm_proxy.transfer.model import Problem
from sm_proxy.transfer.ssh.connection import Connection

GIVE_UP_S: Final = 60.0
"""Seconds without a byte, although connections were replaced, after which the copy ends."""
REPLACEMENTS: Final = 24
"""Lost connections without a byte after which the copy ends."""
_PAUSE_S: Final = (0.2, 5.0)
_TICK_S: Final = 0.25
_IDLE_S: Final = 0.05
_GRACE_S: Final = 0.3
_JOIN_S: Final = 5.0
_TRANSIENT: Final = frozenset(
    {"network", "throttled", "session-lost", "sshd-silent", "connect-refused", "bastion-offline"}
)


class Connections(Protocol):
    """What the engine needs to open more of them: see `connections.Connections`."""

    @property
    def most(self) -> int:
        """How many may be open at once."""

    def first(self) -> Connection:
        """The first one, opened if it is not yet."""

    def open(self, *, compress: bool) -> Connection:
        """One more."""


class Work(Protocol):
    """What one connection does at a time: a batch of small files, or a share of a large one."""

    @property
    def path(self) -> str:
        """What it copies, for messages: the source."""

    @property
    def size(self) -> int:
        """About how many bytes it moves."""

    def run(self, connection: Connection, moved: Callable[[int], None]) -> None:
        """Do it, or what is left of it: after a lost connection it is run again, over another.

        `moved(n)`: n more bytes came over the link; below 0 if they have to come again.

        Raises:
            SmProxyError: its file cannot be copied; a `Problem` of it.
            Exception: of `connection.sftp`; `connection.failure` tells what it is about.
        """


class Group(Protocol):
    """Files that are copied together, each by several works."""

    @property
    def over(self) -> bool:
        """Whether each of its files is complete or given up."""

    def ready(self) -> Work | None:
        """What should be done before anything new is begun, such as the end of a file."""

    def help(self) -> Work | None:
        """Work for an idle connection: a share of what another one is slow with."""

    def close(self) -> None:
        """Its works do not run any more: release their resources."""


@runtime_checkable
class SharedWork(Work, Protocol):
    """A share of a large file."""

    @property
    def over(self) -> bool:
        """Whether its file is complete or given up: a connection in it may be cut off."""

    @property
    def group(self) -> Group:
        """The files that it belongs to."""


class Engine:
    """Runs works over several connections.

    Args:
        connections: opens them; it stays open, the caller closes it.
        compress: whether connections after the first compress; may be set before `run`.
        on_moved: called with the bytes that each step moved, in any thread.
        on_begin: called with the path of each work that begins, in any thread.
        gently: begin with one connection, and add others only as long as that makes it faster: for
            uploads, which one session carries at full speed.
    """

    def __init__(
        self,
        connections: Connections,
        compress: bool = False,
        on_moved: Callable[[int], None] = lambda _: None,
        *,
        on_begin: Callable[[str], None] = lambda _: None,
        gently: bool = False,
    ) -> None:
        self.compress = compress
        self.sessions = 0
        """The most connections that were open at once."""
        self._connections = connections
        self._on_moved = on_moved
        self._on_begin = on_begin
        self._gently = gently
        self._changed = threading.Condition()
        self._queue: deque[Work] = deque()
        self._groups: list[Group] = []
        self._running: dict[int, tuple[Work, Connection]] = {}
        self._problems: list[Problem] = []
        self._threads: list[threading.Thread] = []
        self._opening: set[threading.Thread] = set()
        self._open = 0
        self._able = 0
        self._stopped = False
        self._fatal: BaseException | None = None
        self._moved = 0
        self._lost = 0
        self._lost_since: float | None = None

    def run(self, works: Iterable[Work]) -> tuple[Problem, ...]:
        """Run all of `works`, in about their order; once for each engine.

        Returns:
            what could not be copied.

        Raises:
            SmProxyError: it cannot go on: the code of the last connection, such as `job-ended`, or
                `session-lost` if no byte moved for a minute.
            KeyboardInterrupt: the calling thread was interrupted; no work runs any more.
        """
        self._queue.extend(works)
        for work in self._queue:
            if isinstance(work, SharedWork) and work.group not in self._groups:
                self._groups.append(work.group)
        ended_well = False
        try:
            if self._queue:
                first = self._connections.first()
                self._count_open(1)
                self._start(first)
                self._supervise()
            ended_well = self._fatal is None
        finally:
            self._stop(ended_well=ended_well)
        if self._fatal is not None:
            raise self._fatal
        return tuple(self._problems)

    # The calling thread.

    def _supervise(self) -> None:
        """Start threads, and wait until nothing is left to do."""
        growth = Growth()
        if not self._gently:
            self._grow()
        while not self._finished():
            room = len(self._threads) < self._connections.most and self._queue
            if self._gently and growth.wants_one(self._moved) and room:
                self._start(None)
            with self._changed:
                self._changed.wait(_TICK_S)

    def _finished(self) -> bool:
        with self._changed:
            # A connection that stalls in a file that is complete keeps nobody waiting.
            busy = any(
                not (isinstance(work, SharedWork) and work.over)
                for work, _ in self._running.values()
            )
            return self._fatal is not None or not (busy or self._left())

    def _left(self) -> bool:
        """Whether there is, or will be, a work without a connection."""
        return bool(self._queue) or not all(group.over for group in self._groups)

    def _grow(self) -> None:
        for _ in range(min(self._connections.most, len(self._queue) + len(self._running)) - 1):
            self._start(None)

    def _start(self, connection: Connection | None) -> None:
        with self._changed:
            self._able += 1
        run = threads.inheriting(lambda: self._serve(connection))
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _stop(self, *, ended_well: bool) -> None:
        """End every work: one that waits for its connection sees it closed.

        A connection that is still opening is not waited for here: closing `connections` does it.
        """
        with self._changed:
            self._stopped = True
            if ended_well:  # a connection that is just leaving a complete file
                self._changed.wait_for(lambda: not self._running, _GRACE_S)
            busy = [connection for _, connection in self._running.values()]
            at_work = [thread for thread in self._threads if thread not in self._opening]
            self._changed.notify_all()
        for connection in busy:
            connection.close()
        deadline = time.monotonic() + _JOIN_S
        for thread in at_work:
            thread.join(max(0.0, deadline - time.monotonic()))
        for group in self._groups:
            group.close()

    # The threads of the connections.

    def _serve(self, connection: Connection | None) -> None:
        """Open a connection where there is none, and run works over it."""
        refused: SmProxyError | None = None
        replaced = connection is not None
        try:
            while not self._stopped and self._fatal is None:
                if connection is None:
                    connection = self._opened(patient=replaced)
                    replaced = True
                work = self._take(connection)
                if work is None:
                    return
                if not self._done(work, connection):
                    connection.close()
                    connection = None
                    self._count_open(-1)
        except SmProxyError as failure:
            refused = failure
        except BaseException as failure:  # noqa: BLE001 - raised again in the calling thread
            self._end_with(failure)
        finally:
            if connection is not None:
                self._count_open(-1)
            self._retire(refused)

    def _opened(self, *, patient: bool) -> Connection:
        """One more connection.

        Args:
            patient: whether it replaces one: then a network that is away for a while may come back.

        Raises:
            SmProxyError: it cannot be opened.
        """
        pause, longest = _PAUSE_S
        while True:
            try:
                connection = self._one_more()
            except SmProxyError as error:  # noqa: PERF203 - it waits for the network
                lasting = error.code not in _TRANSIENT and not error.passing
                if lasting or not patient or self._stopped or self._hopeless():
                    raise
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped, pause)
                pause = min(2 * pause, longest)
            else:
                self._count_open(1)
                return connection

    def _one_more(self) -> Connection:
        thread = threading.current_thread()
        with self._changed:
            if self._stopped:
                raise SmProxyError("session-lost", "the copy is over")
            self._opening.add(thread)
        try:
            return self._connections.open(compress=self.compress)
        finally:
            with self._changed:
                self._opening.discard(thread)

    def _take(self, connection: Connection) -> Work | None:
        """The next work; None if there will be none."""
        with self._changed:
            while not self._stopped and self._fatal is None:
                work = self._next()
                if work is not None:
                    self._running[threading.get_ident()] = (work, connection)
                    return work
                if not self._running and not self._left():
                    break
                self._changed.wait(_IDLE_S)
            self._changed.notify_all()
            return None

    def _next(self) -> Work | None:
        for group in self._groups:
            if (work := group.ready()) is not None:
                return work
        if self._queue:
            return self._queue.popleft()
        helps = (group.help() for group in self._groups)
        return next((work for work in helps if work is not None), None)

    def _done(self, work: Work, connection: Connection) -> bool:
        """Run `work`; False if the connection is lost."""
        self._on_begin(work.path)
        try:
            work.run(connection, self._count)
        except SmProxyError as error:
            self._put_aside(Problem(work.path, error))
        except Exception as error:
            why = lost_connection(connection, error)
            if why is not None:
                self._give_back(work, why)
                return False
            if not isinstance(error, (OSError, EOFError)):
                raise
            self._put_aside(Problem(work.path, copy_failed(work.path, error)))
        finally:
            with self._changed:
                self._running.pop(threading.get_ident(), None)
                self._changed.notify_all()
        return True

    def _give_back(self, work: Work, why: SmProxyError) -> None:
        with self._changed:
            if not (isinstance(work, SharedWork) and work.over):
                self._queue.appendleft(work)
            self._lost += 1
            if self._lost_since is None:
                self._lost_since = time.monotonic()
        if self._lost > REPLACEMENTS or self._hopeless():
            seconds = time.monotonic() - (self._lost_since or 0)
            self._end_with(
                SmProxyError(
                    "session-lost",
                    f"{self._lost} connections were lost within {seconds:.0f} s, and no byte came "
                    f"over any of them; the last one: {why.message}",
                    "Run it again later: it resumes where it stopped.",
                )
            )

    def _hopeless(self) -> bool:
        """Whether nothing has moved for too long since the first connection was lost."""
        since = self._lost_since
        return since is not None and time.monotonic() - since > GIVE_UP_S

    def _count(self, moved: int) -> None:
        with self._changed:
            if moved > 0:
                self._moved += moved
                self._lost, self._lost_since = 0, None
        self._on_moved(moved)

    def _count_open(self, more: int) -> None:
        with self._changed:
            self._open += more
            self.sessions = max(self.sessions, self._open)

    def _put_aside(self, problem: Problem) -> None:
        """Keep a problem, also after `_stop`: a file is over before its error gets here."""
        with self._changed:
            self._problems.append(problem)

    def _end_with(self, error: BaseException) -> None:
        with self._changed:
            self._fatal = self._fatal or error
            self._changed.notify_all()

    def _retire(self, error: SmProxyError | None) -> None:
        """A thread ends; the last one ends the copy if something is left to do."""
        with self._changed:
            self._able -= 1
            left = self._left() or bool(self._running)
            if error is not None and self._able == 0 and left:
                self._fatal = self._fatal or error
            self._changed.notify_all()


def lost_connection(connection: Connection, error: Exception) -> SmProxyError | None:
    """Why a connection is lost, if `error` came of that; None if it is about a file."""
    why = connection.failure(error)
    if why is None and isinstance(error, (paramiko.SSHException, paramiko.SFTPError)):
        return SmProxyError("session-lost", f"the SFTP server broke off: {error}")
    return why


def copy_failed(path: str, error: BaseException) -> SmProxyError:
    """`copy-failed` for what an SFTP server or this machine's disk said about `path`."""
    why = getattr(error, "strerror", None) or str(error) or "its end came too early"
    return SmProxyError("copy-failed", f"{path}: {why}")
