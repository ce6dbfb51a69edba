"""One SSM session that carries several streams: for connections that share it.

Each stream is a smux stream of its own: the agent dials the port for each, one after another (A:
session/plugins/port/port_mux.go:265-296). Its FIN ends that stream only. Agents without smux carry
one stream, whose end is that of the session.

smux version 1 has no flow control for a stream. A stream that is not read here holds back only
itself, until `UNREAD_LIMIT`. An agent holds back all streams once their targets together have not
taken 4 MiB, and tells nobody whose target it is.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from sm_proxy.ssm import smux
from sm_proxy.ssm.api import Api, Grant, Kind, Options
from sm_proxy.ssm.channel import State
from sm_proxy.ssm.dial_failure import dial_failure
from sm_proxy.ssm.engine import RECEIVED_LIMIT, Engine, open_with
from sm_proxy.ssm.incoming import Incoming
from sm_proxy.ssm.lane import Lane
from sm_proxy.ssm.session_stream import SessionStream
from sm_proxy.ssm.transport import WebSocket

__all__ = ["SessionStream", "SharedSession", "share"]

UNREAD_LIMIT: Final = 16 << 20
"""Unread bytes of all streams. An SSH server sends 2 MiB on each channel that nobody reads."""
STALL_S: Final = 30.0
"""How long the streams may be held back by one that nobody reads."""


class SharedSession(Engine):
    """A session with several streams.

    Its driver waits for `fileno` and `deadline` and calls `advance`, as that of a `Stream`. Then it
    reads and writes the streams. A stream that is not read holds back only itself, until the unread
    bytes of all streams reach `UNREAD_LIMIT`. Then the session reads no more. If that lasts for
    `STALL_S`, the stream with the most unread bytes fails and the others go on.

    `failure` is also that of each open stream. A refused dial fails its stream only.
    """

    def __init__(self, api: Api, grant: Grant, websocket: WebSocket, options: Options) -> None:
        super().__init__(api, grant, websocket, options)
        self._streams: dict[int, SessionStream] = {}
        self._refusals: list[tuple[Kind, str]] = []
        self._dial_text: tuple[Kind, str] | None = None
        self._dismissed: set[int] = set()
        self._full_since: float | None = None

    @property
    def streams(self) -> list[SessionStream]:
        """The streams that are not closed."""
        return [stream for stream in self._streams.values() if not stream.closed]

    def open_stream(self) -> SessionStream:
        """A new stream. The first may be opened at once, further ones after `opened`.

        Raises:
            RuntimeError: the session is over or finishing, or not multiplexed and has its stream.
        """
        number = self._incoming.unused
        if self.ended or self._finishing or not (self.multiplexed or number == smux.FIRST):
            raise RuntimeError("the session takes no further stream")
        self._incoming.unused += smux.STEP
        if number == smux.FIRST:
            lane, incoming = self._channel.first_lane, self._incoming.first
        else:
            lane, incoming = Lane(partial(smux.data_frame, stream=number)), Incoming()
            self._incoming.streams[number] = incoming
        stream = SessionStream(
            number, self, self._channel, lane=lane, incoming=incoming, left=self._on_left
        )
        self._streams[number] = stream
        if self.multiplexed:
            stream.begin()
        return stream

    def deadline(self, now: float) -> float:
        """When to call `advance` if nothing is ready."""
        due = super().deadline(now)
        return due if self._full_since is None else min(due, self._full_since + STALL_S)

    def advance(self, now: float, *, readable: bool) -> None:
        """Do all work that is possible without waiting."""
        super().advance(now, readable=readable)
        self._check_stall(now)

    def finish(self) -> None:
        """End all streams and then the session. Call `advance` until `finished`."""
        if not self._finishing:
            self._finishing = True
            for stream in self.streams:
                stream.finish()
            self._channel.finish()

    # internal

    @property
    def _full(self) -> bool:
        limit = UNREAD_LIMIT if len(self._streams) > 1 else RECEIVED_LIMIT
        return self._unread >= limit

    def _on_left(self, stream: SessionStream) -> None:
        """A stream was told to finish, or closed."""
        if self._opened and not self.multiplexed:
            self.finish()
        self._forget_if_over(stream)

    def _forget_if_over(self, stream: SessionStream) -> None:
        if stream.closed and (stream.incoming.ended or not stream.begun):
            self._streams.pop(stream.number, None)
            self._incoming.streams.pop(stream.number, None)

    def _on_multiplexed(self) -> None:
        for stream in self.streams:
            stream.begin()

    def _distribute(self) -> None:
        super()._distribute()
        for number in self._incoming.ends:
            if (stream := self._streams.get(number)) is not None:
                self._on_end(stream)
        self._incoming.ends.clear()
        if strays := self._incoming.strays - self._dismissed:
            self._dismiss(strays)

    def _on_end(self, stream: SessionStream) -> None:
        if stream.may_be_refused and (self._refusals or self._dial_text):
            self._refuse(stream)
        self._forget_if_over(stream)

    def _dismiss(self, numbers: set[int]) -> None:
        """End streams that both sides had ended before.

        An agent that gets the start of a stream twice, the second time after its end, dials again.
        """
        self._dismissed |= numbers
        for number in numbers:
            if self._channel.state is State.OPEN:
                self._channel.write_whole(smux.close_stream(number))

    def _on_agent_text(self, text: str) -> None:
        super()._on_agent_text(text)
        if kind := dial_failure(text):
            self._dial_text = kind, text

    def _on_refused(self, reason: str) -> None:
        # The flag names no stream, and the FIN behind it does. Other silent streams may only be
        # waiting for their target's first byte.
        self._refusals.append(("refused", reason))
        unended = (stream for stream in self._streams.values() if not stream.incoming.ended)
        silent = [stream for stream in unended if stream.may_be_refused]
        if len(silent) == 1:
            self._refuse(silent[0])
        elif not silent:
            self._refusals.clear()

    def _refuse(self, stream: SessionStream) -> None:
        """Let a stream fail by the dial failure that was reported."""
        reported = self._refusals.pop(0) if self._refusals else None
        kind, reason = self._dial_text or reported or ("refused", "")
        self._dial_text = None
        stream.fail(self._options.failure(kind, reason))

    def _check_stall(self, now: float) -> None:
        if not (self._full and len(self._streams) > 1):
            self._full_since = None
        elif self._full_since is None:
            self._full_since = now
        elif now >= self._full_since + STALL_S:
            stream = max(self._streams.values(), key=lambda item: item.unread)
            words = "it was not read, and the other connections of its session had to wait"
            stream.fail(self._options.failure("lost", words))
            stream.incoming.drop()
            stream.finish()
            self._full_since = None


def share(api: Api, options: Options, grant: Grant) -> SharedSession:
    """Open the websocket of a granted session. The handshake happens in calls of `advance`.

    Raises:
        Exception: as `session.start`. The session is terminated.
    """
    return open_with(SharedSession, api, options, grant)
