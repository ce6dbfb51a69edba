"""One of several streams of a session."""

from __future__ import annotations

import time
from collections.abc import Callable

from sm_proxy.ssm import smux
from sm_proxy.ssm.channel import Channel, State
from sm_proxy.ssm.engine import Engine
from sm_proxy.ssm.incoming import Incoming
from sm_proxy.ssm.lane import Lane


class SessionStream:
    """A `tunnel.stream.Stream` with an end and a failure of its own, in a session that goes on.

    The driver of the session drives all its streams: `advance`, `fileno`, `deadline`, `wants_read`
    and `wants_write` are the session's.

    Args:
        number: its smux id.
        session: it belongs to.
        channel: of the session.
        lane: its queue to the agent.
        incoming: what comes from its target.
        left: called when the stream was told to finish, and when it was closed.

    Attributes:
        closed: whether nobody reads or writes it any more.
    """

    def __init__(
        self,
        number: int,
        session: Engine,
        channel: Channel,
        *,
        lane: Lane,
        incoming: Incoming,
        left: Callable[[SessionStream], None],
    ) -> None:
        self.number = number
        self.lane = lane
        self.incoming = incoming
        self.closed = False
        self._session = session
        self._channel = channel
        self._left = left
        self._finishing = False
        self._failure: Exception | None = None

    @property
    def opened(self) -> bool:
        """Whether bytes can flow. smux does not say when the agent's dial has succeeded."""
        return self._session.opened

    @property
    def ended(self) -> bool:
        """Whether no more bytes will come; `read` may still return earlier ones."""
        return self.incoming.ended or self._failure is not None or self._session.ended

    @property
    def failure(self) -> Exception | None:
        """Its own failure, or the session's if the stream had not ended before."""
        return self._failure or (None if self.incoming.ended else self._session.failure)

    @property
    def suspicion(self) -> Exception | None:
        """A possible cause of a clean end, if the target ended the stream; else None."""
        return self._session.suspicion_of(self.lane.repeated_at)

    @property
    def delivered(self) -> bool:
        """Whether everything written has been acknowledged."""
        return self.lane.delivered

    @property
    def finished(self) -> bool:
        """Whether both ends know that the stream is over."""
        over = self.incoming.ended or not self.begun
        return (self._finishing and over) or self._session.finished

    @property
    def begun(self) -> bool:
        """Whether the agent was asked for the stream, or will be."""
        return self.lane.started or self.lane.waiting

    @property
    def may_be_refused(self) -> bool:
        """Whether the agent may have reported that its dial has failed, or may still do so."""
        return self.begun and not self.incoming.spoke and self._failure is None

    @property
    def finishing(self) -> bool:
        """Whether `finish` or `close` was called."""
        return self._finishing

    @property
    def room(self) -> int:
        """How many bytes `write` takes now."""
        return self.lane.room if self.opened and not (self.ended or self._finishing) else 0

    @property
    def unread(self) -> int:
        """Bytes of memory that wait for `read`."""
        return self.incoming.unread

    @property
    def wants_read(self) -> bool:
        """Whether to wait for the session's descriptor to be readable."""
        return self._session.wants_read

    @property
    def wants_write(self) -> bool:
        """Whether to wait for the session's descriptor to be writable."""
        return self._session.wants_write

    @property
    def through(self) -> str:
        """The target whose agent forwards the bytes."""
        return self._session.through

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self._session.session_id

    @property
    def resumes(self) -> int:
        """How often a lost connection of the session was resumed."""
        return self._session.resumes

    def fileno(self) -> int:
        """The session's descriptor."""
        return self._session.fileno()

    def deadline(self, now: float) -> float:
        """When to call `advance` if nothing is ready."""
        return self._session.deadline(now)

    def advance(self, now: float, *, readable: bool) -> None:
        """Do all work of the session that is possible without waiting."""
        self._session.advance(now, readable=readable)

    def read(self) -> bytes:
        """The target's bytes since the last call, at most about a megabyte."""
        hold = self._session.is_recent(self.lane.repeated_at) and not (self.ended or self.finishing)
        return self.incoming.read(time.monotonic(), hold=hold)

    def write(self, data: bytes) -> None:
        """Queue bytes for the target; at most `room`."""
        self._channel.write(data, self.lane)

    def begin(self) -> None:
        """Ask the agent for the stream."""
        self._channel.write_whole(smux.open_stream(self.number), self.lane)

    def finish(self) -> None:
        """Deliver what was written, then end the stream."""
        if self._finishing:
            return
        self._finishing = True
        if self._session.multiplexed and self.begun and self._channel.state is State.OPEN:
            self._channel.write_whole(smux.close_stream(self.number), self.lane)
        self._left(self)

    def fail(self, failure: Exception) -> None:
        """End with this failure, unless the stream has another one."""
        self._failure = self._failure or failure

    def close(self) -> None:
        """End the stream now, unless it is finishing. Never blocks."""
        if self.closed:
            return
        if not self._finishing:
            self._channel.drop(self.lane)
            self.finish()
        self.closed = True
        self.incoming.drop()
        self._left(self)
