"""A stream of a session that a keeper holds, and what replaces it if the session leads nowhere."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from sm_proxy.daemon import settled
from sm_proxy.daemon.endings import Ending
from sm_proxy.daemon.lines import Lines
from sm_proxy.local import debug_log, output
from sm_proxy.local.threads import Background
from sm_proxy.tunnel.leavable import LeavableStream
from sm_proxy.tunnel.replaceable import ReplaceableStream
from sm_proxy.tunnel.socket_stream import SocketStream
from sm_proxy.tunnel.stream import Stream, StreamWrapper

PATIENCE_S: Final = 3.0
"""How long a session that was kept may be silent, unless its agent has taken what ssh has sent."""
_ANSWER_S: Final = 1.0
"""How long before that its keeper is asked."""
_TICK_S: Final = 0.05
_LAST_WORD_S: Final = 1.0
_AGREES_S: Final = 2.0
"""How long a keeper may think about going on with a connection."""
_KILLED: Final[dict[str, Ending]] = {
    "failure": {"kind": "lost", "reason": "the process that held the session has been killed"}
}
_OF_THE_SESSION: Final = frozenset({"lost", "unreachable", "closed", "unopened"})
"""Kinds of failure that another session may avoid."""


class KeptStream(LeavableStream):
    """A `Stream` whose bytes go through a keeper.

    Args:
        lines: the messages of the keeper.
        data: the bytes.
        through: see `Stream.through`.
        session_id: of the session.
        explain: makes the error for an ending.
        told: what the keeper must know to do that itself; None keeps the connection here.
    """

    def __init__(
        self,
        lines: Lines,
        data: socket.socket,
        through: str,
        session_id: str,
        explain: Callable[[Ending], Exception | None],
        *,
        told: dict[str, Any] | None = None,
    ) -> None:
        self._inner = SocketStream(data, through, passable=False)
        super().__init__(self._inner)
        self._lines = lines
        self._through = through
        self._session_id = session_id
        self._explain = explain
        self._told = told
        self._agrees_until = 0.0
        self._given_up = False
        self._opened = False
        self._resumes = 0
        self._written = 0
        self._asked = 0
        self._delivered = 0
        self._end: dict[str, Ending] | None = None
        self._failure: Exception | None = None
        self._suspicion: Exception | None = None

    @property
    def opened(self) -> bool:
        """Whether bytes can flow."""
        return self._opened

    @property
    def ended(self) -> bool:
        """Whether no more bytes will come."""
        return self._inner.ended if self._opened else self._end is not None

    @property
    def failure(self) -> Exception | None:
        """Why it ended."""
        return self._failure if self.ended else None

    @property
    def of_the_session(self) -> bool:
        """Whether it ended because of the session, not of the container."""
        failed = (self._end or {}).get("failure")
        return self.ended and failed is not None and failed.get("kind") in _OF_THE_SESSION

    @property
    def suspicion(self) -> Exception | None:
        """Why an end that looks clean may be a failure."""
        return self._suspicion

    @property
    def delivered(self) -> bool:
        """Whether the far end has everything; asks the keeper, which answers a moment later."""
        if not self._inner.delivered:
            return False
        if self._asked < self._written:
            self._asked = self._written
            self._send({"written": self._written})
        self._take()
        return self._delivered >= self._written or self.ended

    @property
    def room(self) -> int:
        """How many bytes `write` takes now."""
        return self._inner.room if self._opened else 0

    @property
    def wants_read(self) -> bool:
        """Whether to wait for the descriptor to be readable."""
        return self._inner.wants_read if self._opened else not self.ended

    @property
    def wants_write(self) -> bool:
        """Whether to wait for the descriptor to be writable."""
        return self._opened and self._inner.wants_write

    @property
    def through(self) -> str:
        """The route, and the machine that the bytes pass through."""
        return self._through

    @property
    def session_id(self) -> str:
        """The id of the SSM session."""
        return self._session_id

    @property
    def resumes(self) -> int:
        """How often a lost connection was resumed; known at the end."""
        return self._resumes

    def fileno(self) -> int:
        """The descriptor to wait for: until bytes can flow, that of the messages."""
        if self.ended:
            return -1
        return self._inner.fileno() if self._opened else self._lines.fileno()

    def deadline(self, now: float) -> float:
        """When to call `advance` at the latest."""
        waiting = self._asked > self._delivered or self._agrees_until
        asking = now + _TICK_S if waiting else float("inf")
        return min(asking, self._inner.deadline(now))

    def advance(self, now: float, *, readable: bool) -> None:
        """Do everything that can be done without waiting."""
        if not self._opened:
            self._take()
            if self._lines.ended and self._end is None:
                self._note_end(_KILLED)
            return
        if self._agrees_until:
            self._take()
            self._agrees_until = 0.0 if now >= self._agrees_until else self._agrees_until
        self._inner.advance(now, readable=readable)
        if self._inner.ended and not self._is_explained:
            until = time.monotonic() + _LAST_WORD_S  # the reason came before the end of the bytes
            while not self._is_explained and (message := self._lines.next(until)) is not None:
                self._note(message)
            if not self._is_explained:
                self._note_end(_KILLED)

    @property
    def _is_explained(self) -> bool:
        """Whether the keeper has said why no more bytes come."""
        return self._given_up or self._end is not None

    def write(self, data: bytes) -> None:
        """Take at most `room` bytes."""
        self._written += len(data)
        self._inner.write(data)

    def leave(self, descriptors: Sequence[int], connection: dict[str, Any]) -> bool:
        """Ask the keeper to go on: see `LeavableStream.leave`."""
        if self._told is None or self.ended:
            return False
        asked = settled.message({**connection, **self._told})
        try:
            self._lines.send(asked, 0, descriptors)
        except OSError:  # the end of the bytes will tell
            return False
        self._agrees_until = time.monotonic() + _AGREES_S
        return True

    def left(self) -> bool:
        """Let the keeper go on: see `LeavableStream.left`."""
        self._take()  # it may have ended meanwhile, and said why
        if not self._given_up or self._end is not None:
            return False
        try:
            self._lines.send({"done": True})
        except OSError:
            self._note_end(_KILLED)
            return False
        debug_log.write("the keeper goes on", id=self._session_id)
        return True

    def retire(self) -> None:
        """Tell the keeper that the session leads nowhere, so that no other connection gets it."""
        self._send({"last": True})

    def close(self) -> None:
        """Free everything."""
        self._inner.close()
        self._lines.close()

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the end of the bytes will tell
            self._lines.send(message)

    def _take(self) -> None:
        for message in self._lines.received():
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        self._opened = self._opened or "opened" in message
        self._delivered = message.get("delivered", self._delivered)
        self._resumes = message.get("resumes", self._resumes)
        self._given_up = self._given_up or "final" in message
        if self._agrees_until and "agrees" in message:
            self._agrees_until = 0.0
            if message["agrees"]:
                self._inner.finish()
        if "status" in message:
            output.status(message["status"])
        if "end" in message:
            self._note_end(message["end"])

    def _note_end(self, end: dict[str, Ending]) -> None:
        self._end = end
        self._failure = self._explain(end.get("failure"))
        self._suspicion = self._explain(end.get("suspicion"))


class JoinedStream(ReplaceableStream):
    """A stream of a session that was there before; of another one if that session leads nowhere.

    A session may have died unnoticed, in a sleeping laptop for example. If its agent still answers,
    the SSH server is slow, and another session would not help.

    Args:
        stream: the first one.
        anew: opens one of another session.
        now: the time of `time.monotonic`.
    """

    def __init__(self, stream: KeptStream, anew: Callable[[], Stream | None], now: float) -> None:
        super().__init__(stream, anew)
        self._kept = stream
        self._due = now + PATIENCE_S - _ANSWER_S
        self._asked = False

    def _wants_another(self, now: float) -> bool:
        wanted = self._kept.of_the_session if self._kept.ended else self._is_dead(now)
        if wanted:
            debug_log.write("the kept session leads nowhere", id=self._kept.session_id)
            self._kept.retire()
        return wanted

    def _is_dead(self, now: float) -> bool:
        if self._asked and self._sent and self._kept.delivered:
            self._due = math.inf
        if now < self._due:
            return False
        if not self._asked:
            self._asked, self._due = True, now + _ANSWER_S
            return self._is_dead(now)  # it is asked by that
        return True


class LeadingStream(StreamWrapper):
    """A stream beside which the session of the next connection is started, once bytes can flow.

    Args:
        stream: of this connection.
        start: starts that session, in a thread; what it returns is closed with this stream.
    """

    def __init__(self, stream: Stream, start: Callable[[], Stream | None]) -> None:
        super().__init__(stream)
        self._start = start
        self._lock = threading.Lock()
        self._closed = False
        self._began = False
        self._next: Stream | None = None

    @property
    def transparent(self) -> bool:
        """Whether nothing is left to be done before the end."""
        return self._began

    def advance(self, now: float, *, readable: bool) -> None:
        """Do everything that can be done without waiting."""
        super().advance(now, readable=readable)
        if self.opened and not self._began:
            self._began = True
            Background(self._lead)

    def close(self) -> None:
        """Free everything."""
        super().close()
        with self._lock:
            self._closed = True
        if self._next is not None:
            self._next.close()

    def _lead(self) -> None:
        found = self._start()
        with self._lock:
            if not self._closed:
                self._next, found = found, None
        if found is not None:
            found.close()
