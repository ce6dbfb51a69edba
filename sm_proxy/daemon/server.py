"""The daemon's loop: accept a connection, give it to a process, wait for the next; end when idle.

The daemon does not read requests, so the environment of a launcher is never in its memory, and no
launcher can block it. The process that gets the connection reads it: `child.py`.

It has one thread, because a fork has only the thread that forked: a lock that another one held
would stay locked there. It sleeps until somebody connects, a process of its own ends or tells it
something, or it has been idle for too long.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any, Final

from sm_proxy import __version__
from sm_proxy.daemon import peers, wire
from sm_proxy.daemon.file_watch import Watch
from sm_proxy.daemon.inbox import Inbox
from sm_proxy.daemon.keepers import Keepers
from sm_proxy.daemon.status import Connection, Status
from sm_proxy.daemon.workers import CONNECTION, KEEPER, Job, Workers
from sm_proxy.local import poll, signals

LIMIT: Final = 512
"""How many processes may work at once; further launchers do the work themselves."""
_FULL_S: Final = 0.1
"""The pause after a connection that could not be accepted, for want of descriptors or memory."""


class Server:
    """Accepts connections.

    Args:
        listener: the daemon's socket.
        idle_s: after how many seconds without a connection it ends, once no session is kept.
        is_outdated: whether it must serve no more: its files have changed, or its socket is gone.
        workers: starts a process for each job.
        watch: tells when to ask `is_outdated`, besides for each connection and after it.
    """

    def __init__(
        self,
        listener: socket.socket,
        idle_s: float,
        is_outdated: Callable[[], bool],
        workers: Workers,
        watch: Watch,
    ) -> None:
        self._listener = listener
        self._idle_s = idle_s
        self._is_outdated = is_outdated
        self._workers = workers
        self._watch = watch
        self._inbox = Inbox()
        self._keepers = Keepers(lambda sockets: self._start(KEEPER, sockets))
        self._since = time.time()
        self._idle_since = time.monotonic()
        self._working: dict[int, Connection] = {}
        self._ended = False

    def serve(self) -> None:
        """Work until the daemon must end; processes that serve a connection then continue."""
        self._listener.setblocking(False)
        with self._woken_by_signals() as wakeup:
            while not self._ended and (left := self._left()) > 0:
                ends = [self._listener.fileno(), wakeup.fileno(), self._inbox.fileno()]
                ends += [*self._keepers.filenos(), *self._watch.filenos()]
                readable = poll.wait(ends, [], [], min(left, self._watch.look_s)).readable
                with contextlib.suppress(BlockingIOError):
                    wakeup.recv(4096)
                self._reap()
                for number in readable.intersection(self._keepers.filenos()):
                    self._keepers.heard(number)
                self._take_messages()
                if self._watch.is_due(readable):
                    self._ended = self._ended or self._is_outdated()
                if self._listener.fileno() in readable:
                    self._accept()
        self._inbox.close()
        self._keepers.close()
        self._workers.close()

    def _left(self) -> float:
        """Seconds until the end."""
        if self._working:
            return math.inf
        return max(0.0, self._idle_since + self._idle_s - time.monotonic())

    def _accept(self) -> None:
        if self._is_outdated():
            self._ended = True
            return
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:  # the launcher has gone
            return
        except OSError:
            time.sleep(_FULL_S)
            return
        with connection, contextlib.suppress(OSError):
            try:
                peers.refuse_stranger(connection)
            except peers.StrangerError:
                connection.sendall(wire.REFUSED)  # so that `daemon status` waits for no process
                raise
            connection.setblocking(True)
            # Without a process, the closed connection tells the launcher to do the work itself.
            self._start(CONNECTION, [connection])

    def _start(self, kind: str, sockets: Sequence[socket.socket]) -> int:
        """Start a process.

        Raises:
            OSError: there is none.
        """
        if len(self._working) >= LIMIT:
            raise BlockingIOError("too many processes")
        pid = self._workers.start(Job(kind, sockets, self._status(), self._inbox.sender))
        self._working[pid] = Connection(pid, "", time.time())
        return pid

    def _reap(self) -> None:
        has_ended = False
        with contextlib.suppress(ChildProcessError):  # there are no more
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                ended = self._working.pop(pid, None)
                self._keepers.ended(pid)
                named = self._take_messages()  # its own may have come just before its end
                if ended is not None:
                    has_ended = True
                    if ended.host or pid in named:  # not if it was asked for the status only
                        self._idle_since = time.monotonic()
        # It costs 150 stats, so once for all that have ended. A signal may set `_ended` meanwhile.
        if has_ended and self._is_outdated():
            self._ended = True

    def _take_messages(self) -> set[object]:
        """Read our processes' messages; returns the ids of those that have reported their host."""
        named: set[object] = set()
        while (received := self._inbox.receive()) is not None:
            message, sockets = received
            pid, host = message.get("pid"), message.get("host")
            if "question" in message:
                self._keepers.assign(message["question"], sockets)
            elif message.get("stop"):
                self._stop(asker=pid)
            elif isinstance(pid, int):
                named.add(pid)
                if pid in self._working:
                    self._working[pid] = replace(self._working[pid], host=str(host))
            for each in sockets:
                each.close()
        return named

    def _stop(self, asker: object) -> None:
        """End the daemon and its processes, except for the one that passed the request on."""
        self._ended = True
        for pid in self._working:
            if pid != asker:
                os.kill(pid, signal.SIGTERM)  # not reaped yet, so it is ours
                os.kill(pid, signal.SIGCONT)  # a stopped process ends only when it goes on

    def _status(self) -> Status:
        named = [each for each in self._working.values() if each.host]
        shown = [*named, *self._keepers.connections()]
        left = self._left()
        return Status(
            pid=os.getpid(),
            version=__version__,
            since=self._since,
            idle=self._idle_s,
            ends_in=None if left == math.inf else left,
            connections=tuple(sorted(shown, key=lambda each: each.since)),
            sessions=tuple(self._keepers.states()),
        )

    @contextlib.contextmanager
    def _woken_by_signals(self) -> Iterator[socket.socket]:
        """While entered, a signal makes the yielded socket readable; `ENDING` end the loop."""

        def end(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._ended = True

        handlers: dict[int, Any] = {signal.SIGCHLD: lambda *_: None}
        handlers |= dict.fromkeys(signals.ENDING, end)
        reader, writer = socket.socketpair()
        with reader, writer:
            reader.setblocking(False)
            writer.setblocking(False)
            signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            before = {number: signal.signal(number, taken) for number, taken in handlers.items()}
            try:
                yield reader
            finally:
                signal.set_wakeup_fd(-1)
                for number, handler in before.items():
                    signal.signal(number, handler)
