"""The daemon's list of keepers: the processes that hold a session for further connections.

The daemon only passes descriptors on. A connection that wants a stream gives two ends of socket
pairs: one for messages, one for the bytes. They go to a keeper whose session has the same key,
else to a new one. The keeper decides whether its session is quiet enough for one more stream.

A fork of the daemon asks through a datagram socket that all forks share. Such a question holds no
secret: the key is a hash.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sm_proxy.daemon.lines import Lines
from sm_proxy.daemon.status import KeptSession

ADD: Final = b"+"
"""What comes with the two descriptors of a connection."""
_ASKING_S: Final = 1.0
"""How long a fork waits until the daemon has read the questions before its own."""
_QUESTION: Final = 8192
"""Bytes of a question at most."""
_STARTING: Final = 0
"""The process id of a keeper that has none yet."""
_UNSURE: Final = 64
"""How many keys are remembered whose credentials only a call can tell."""

Start = Callable[[Sequence[socket.socket]], int]
"""Starts a process that calls `release` and then `keeper.run` with these sockets; returns its id.

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
    given: bool = False

    @property
    def session(self) -> str:
        """The id of its session; empty until it has one."""
        return str(self.state.get("session", ""))

    @property
    def streams(self) -> int:
        """How many connections use it, or are about to."""
        return int(self.state.get("streams", 0 if self.ahead else 1))


class Keepers:
    """All keepers of this daemon.

    Args:
        start: starts one.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._keepers: dict[int, _Keeper] = {}
        self._unsure: list[str] = []
        self._questions, self._asker = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._questions.setblocking(False)
        self._asker.settimeout(_ASKING_S)

    @classmethod
    def elsewhere(cls, asker: socket.socket) -> Keepers:
        """The list in a process that is no fork of the daemon: it can only ask.

        Args:
            asker: the socket of the daemon's `asker`.
        """

        def refuse(_: Sequence[socket.socket]) -> int:
            raise BlockingIOError

        found = cls(refuse)
        found.close()
        found._asker = asker
        asker.settimeout(_ASKING_S)
        return found

    def __len__(self) -> int:
        """How many there are; the daemon does not end while there is one."""
        return len(self._keepers)

    def asker(self) -> int:
        """The descriptor that `ask` needs in a fork."""
        return self._asker.fileno()

    def ask(self, question: Question, ends: Sequence[socket.socket]) -> None:
        """In a fork of the daemon: ask for a stream. Both ends are closed in this process.

        Args:
            question: for which session.
            ends: of two socket pairs, for messages and for the bytes. The answer comes as a message
                on the first one, or as its end.

        Raises:
            OSError: the daemon has gone, or does not read.
        """
        messages, data = ends
        with messages, data:
            fds = [messages.fileno(), data.fileno()]
            socket.send_fds(self._asker, [json.dumps(asdict(question)).encode()], fds)

    def filenos(self) -> list[int]:
        """The descriptors to wait for; call `heard` when one is readable."""
        return [self._questions.fileno(), *(each.lines.fileno() for each in self._keepers.values())]

    def heard(self, fileno: int) -> None:
        """Take a question of a fork, or what a keeper tells about itself."""
        if fileno == self._questions.fileno():
            self._take_question()
            return
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

    def release(self) -> list[int]:
        """Let go of all keepers; those without a stream end now. Returns their process ids.

        Call it in each fork of the daemon, too, which can still ask: the daemon's end of a keeper's
        socket must not stay open elsewhere.
        """
        pids = list(self._keepers)
        for pid in pids:
            self.ended(pid)
        self._questions.close()
        return pids

    def close(self) -> None:
        """Let go of all keepers, and answer no more."""
        self.release()
        self._asker.close()

    def _take_question(self) -> None:
        ends: list[socket.socket] = []
        try:
            data, fds, _, _ = socket.recv_fds(self._questions, _QUESTION, 2)
            ends = [socket.socket(fileno=fd) for fd in fds]
            question = Question(**json.loads(data))
            messages, bytes_ = ends
            self._answer(question, messages, bytes_)
        except (OSError, TypeError, ValueError):  # from a fork that is out of descriptors, say
            return
        finally:
            for end in ends:
                end.close()

    def _answer(self, question: Question, messages: socket.socket, data: socket.socket) -> None:
        """Give a connection to a keeper. If none gets it, it sees the end of its socket."""
        if question.key in self._unsure and not question.sure:
            Lines(messages).send({"state": "resolve"})
            return
        usable = [each for each in self._keepers.values() if each.key == question.key]
        if question.ahead:
            if all(keeper.given or keeper.streams for keeper in usable):
                self._begin(question, messages, data)
            return
        for keeper in reversed(usable):
            if keeper.session not in question.without:
                with contextlib.suppress(OSError):
                    fds = [messages.fileno(), data.fileno()]
                    socket.send_fds(keeper.lines.socket, [ADD], fds)
                    keeper.given = True
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
            self._unsure = [*self._unsure, keeper.key][-_UNSURE:]
            keeper.key = str(sure_key)
        keeper.state = state
        keeper.given = False
