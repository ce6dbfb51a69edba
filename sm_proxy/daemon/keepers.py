"""The daemon's list of keepers: the processes that hold a session for further connections.

The daemon only passes descriptors on. A connection that wants a stream gives two ends of socket
pairs: one for messages, one for the bytes. They go to a keeper whose session has the same key,
else to a new one. The keeper decides whether its session is quiet enough for one more stream.

A question comes through the daemon's inbox. It holds no secret: the key is a hash.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sm_proxy.daemon import wire
from sm_proxy.daemon.lines import Lines
from sm_proxy.daemon.status import Connection, KeptSession

ADD: Final = b"+"
"""What comes with the two descriptors of a connection."""
ADD_SURE: Final = b"!"
"""The same, if it has found out whose keys it has: see `Question.sure`."""
_STARTING: Final = 0
"""The process id of a keeper that has none yet."""
UNUSED: Final = 32
"""The most unused sessions that are kept. Each has a process, and a session whose keys were made
for one connection serves no other."""
_UNSURE: Final = 64
"""The most remembered keys whose credentials only a call can identify."""

_SILENT_S: Final = 2.0
"""Seconds: a keeper that has not taken a connection for this long gets no other: it may be
stopped."""

Start = Callable[[Sequence[socket.socket]], int]
"""Starts a process that calls `keeper.run` with these sockets; returns its id.

The sockets are closed in the daemon after that.

Raises:
    OSError: no process can be started.
"""


@dataclass(frozen=True)
class Question:
    """What a connection asks for.

    Attributes:
        key: of the session; see `kept.py`.
        without: the ids of sessions that have no room for it, or lead nowhere.
        sure: whether the key is that of credentials that have been fetched.
        ahead: whether it is for the next connection: it gets no session that is there.
    """

    key: str
    without: list[str] = field(default_factory=list)
    sure: bool = False
    ahead: bool = False


@dataclass
class _Keeper:
    pid: int
    key: str
    lines: Lines
    ahead: bool
    began: float = field(default_factory=time.time)
    state: dict[str, Any] = field(default_factory=dict)
    given: int = 0
    heard: float = 0.0
    unused_since: float = 0.0

    @property
    def session(self) -> str:
        """The id of its session; empty until it has one."""
        return str(self.state.get("session", ""))

    @property
    def streams(self) -> int:
        """How many connections use it, or are about to."""
        return int(self.state.get("streams", 0 if self.ahead else 1))

    @property
    def unused(self) -> bool:
        """Whether its session is unused."""
        return bool(self.session) and not (self.waited_for or self.streams)

    @property
    def waited_for(self) -> bool:
        """Whether a connection was passed to it that it has not taken yet."""
        return self.given > int(self.state.get("taken", 0))

    @property
    def silent(self) -> bool:
        """Whether it has let a connection wait for too long."""
        return self.waited_for and time.monotonic() >= self.heard + _SILENT_S

    def give(self, question: Question, ends: Sequence[socket.socket]) -> bool:
        """Give it a connection; returns whether it can be given one."""
        try:
            data = ADD_SURE if question.sure else ADD
            wire.send_with(self.lines.socket, data, [each.fileno() for each in ends])
        except OSError:
            return False
        if not self.waited_for:
            self.heard = time.monotonic()
        self.given += 1
        return True


class Keepers:
    """All keepers of this daemon.

    Args:
        start: starts one.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._keepers: dict[int, _Keeper] = {}
        self._unsure: list[str] = []

    def __len__(self) -> int:
        """How many there are; the daemon does not end while there is one."""
        return len(self._keepers)

    def assign(self, question: object, ends: Sequence[socket.socket]) -> None:
        """Give a connection to a keeper. If none gets it, it sees the end of its sockets.

        Args:
            question: the fields of a `Question`; anything else is dropped.
            ends: of two socket pairs, for messages and for the bytes. The answer comes as a message
                on the first one, or as its end. The caller closes them.
        """
        try:
            messages, data = ends
            self._answer(Question(**question), messages, data)  # type: ignore[arg-type]
        except (OSError, TypeError, ValueError):  # such as EMFILE in a fork
            return

    def filenos(self) -> list[int]:
        """The descriptors to wait for; call `heard` when one is readable."""
        return [each.lines.fileno() for each in self._keepers.values()]

    def heard(self, fileno: int) -> None:
        """Read a keeper's messages about itself."""
        for keeper in list(self._keepers.values()):
            if keeper.lines.fileno() == fileno:
                for state in keeper.lines.received():
                    self._note(keeper, state)
                if keeper.lines.ended:
                    self.ended(keeper.pid)

    def ended(self, pid: int) -> None:
        """Forget a keeper whose process has ended."""
        if (keeper := self._keepers.pop(pid, None)) is not None:
            keeper.lines.close()

    def states(self) -> list[KeptSession]:
        """What `daemon status` shows of each."""
        now = time.time()
        return [
            KeptSession(
                keeper.pid,
                keeper.session,
                str(state.get("target", "")),
                keeper.began,
                keeper.streams,
                None if (ends := state.get("ends")) is None else max(0.0, ends - now),
            )
            for keeper in self._keepers.values()
            for state in (keeper.state,)
        ]

    def connections(self) -> list[Connection]:
        """Those that have no other process any more."""
        return [
            Connection(keeper.pid, host, began)
            for keeper in self._keepers.values()
            for host, began in keeper.state.get("settled", ())
        ]

    def close(self) -> None:
        """Let go of all keepers: those without a stream end now."""
        for pid in list(self._keepers):
            self.ended(pid)

    def _answer(self, question: Question, messages: socket.socket, data: socket.socket) -> None:
        if question.key in self._unsure and not question.sure:
            Lines(messages).send({"state": "resolve"})
            return
        usable = [each for each in self._keepers.values() if each.key == question.key]
        if question.ahead:
            if all(keeper.waited_for or keeper.streams for keeper in usable):
                self._begin(question, messages, data)
            return
        for keeper in reversed(usable):
            served = keeper.session not in question.without and not keeper.silent
            if served and keeper.give(question, (messages, data)):
                return
        self._begin(question, messages, data)

    def _begin(self, question: Question, messages: socket.socket, data: socket.socket) -> None:
        ours, theirs = socket.socketpair()
        self._keepers[_STARTING] = keeper = _Keeper(
            _STARTING, question.key, Lines(ours), question.ahead
        )
        with theirs:
            try:
                keeper.pid = self._start([theirs, messages, data])
            except OSError:
                keeper.lines.close()
                return
            finally:
                del self._keepers[_STARTING]
        self._keepers[keeper.pid] = keeper

    def _note(self, keeper: _Keeper, state: dict[str, Any]) -> None:
        if sure_key := state.pop("key", ""):
            if sure_key != keeper.key:  # a keeper sends it repeatedly
                self._unsure = [*self._unsure, keeper.key][-_UNSURE:]
            keeper.key = str(sure_key)
        keeper.state = state
        keeper.heard = keeper.unused_since = time.monotonic()
        unused = [each for each in self._keepers.values() if each.unused]
        for each in sorted(unused, key=lambda each: each.unused_since)[:-UNUSED]:
            self.ended(each.pid)  # its process sees that, and ends the session
