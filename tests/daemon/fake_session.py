"""A session whose streams echo what is written to them, in memory."""

from __future__ import annotations

import math
import socket
import threading

from sm_proxy.ssm.api import Api, Grant, Options

GREETING = b"SSH-2.0-fake\r\n"


class FakeStream:
    """One stream; the test changes what it does."""

    suspicion: Exception | None = None
    wants_write = False
    resumes = 0
    through = ""
    unread = 0

    def __init__(self, session: FakeSession) -> None:
        self._session = session
        self.session_id = session.session_id
        self.incoming = bytearray(b"" if session.silent else GREETING)
        self.written = bytearray()
        self.failure: Exception | None = None
        self.far_ended = False
        self.finishing = False
        self.closed = False
        self.acknowledges = True

    @property
    def opened(self) -> bool:
        return self._session.opened

    @property
    def ended(self) -> bool:
        return self.far_ended or self._session.ended or self.failure is not None

    @property
    def delivered(self) -> bool:
        return self.acknowledges

    @property
    def finished(self) -> bool:
        return self.finishing or self.ended

    @property
    def room(self) -> int:
        return 0 if self.ended or not self.opened else 1 << 20

    @property
    def wants_read(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._session.fileno()

    def deadline(self, _now: float) -> float:
        return math.inf

    def advance(self, now: float, *, readable: bool) -> None:
        self._session.advance(now, readable=readable)

    def read(self) -> bytes:
        data = bytes(self.incoming[: 1 << 16])
        del self.incoming[: 1 << 16]
        return data

    def write(self, data: bytes) -> None:
        self.written += data
        if not self._session.silent:
            self.incoming += data

    def finish(self) -> None:
        self.finishing = True

    def close(self) -> None:
        self.closed = True
        self._session.streams.remove(self)


class FakeSession:
    """The session; `poke` makes its driver look at it."""

    wants_write = False
    wants_read = True
    resumes = 0

    def __init__(self, session_id: str = "s-1") -> None:
        self.session_id = session_id
        self.opened = True
        self.multiplexed = True
        self.silent = False
        self.ended = False
        self.failure: Exception | None = None
        self.finishing = False
        self.finished = False
        self.closed = threading.Event()
        self.streams: list[FakeStream] = []
        self.all_streams: list[FakeStream] = []
        self.options: Options | None = None
        self.api: Api | None = None
        self._end: list[Exception | None] = []
        self._opens = False
        self._near, self._far = socket.socketpair()

    def poke(self) -> None:
        self._far.send(b".")

    def open(self) -> None:
        """Complete the handshake."""
        self._opens = True
        self.poke()

    def fail(self, error: Exception | None) -> None:
        """End the session, with this failure of each stream."""
        self._end = [error]
        self.poke()

    def open_stream(self) -> FakeStream:
        if self.ended or self.finishing or (self.all_streams and not self.multiplexed):
            raise RuntimeError("no more streams")
        stream = FakeStream(self)
        self.streams.append(stream)
        self.all_streams.append(stream)
        return stream

    def fileno(self) -> int:
        return self._near.fileno()

    def deadline(self, _now: float) -> float:
        return math.inf

    def advance(self, _now: float, *, readable: bool) -> None:
        if readable:
            self._near.recv(100)
        self.opened = self.opened or self._opens  # here, as in a real one
        for error in self._end:  # so that its driver notices
            self.failure = error
            for stream in self.streams:
                stream.failure = error
            self.ended = True
        self._end = []

    def finish(self) -> None:
        self.finishing = self.finished = True

    def close(self) -> None:
        if self.options is not None and self.api is not None and not self.closed.is_set():
            self.options.over(self.session_id)
            self.api.terminate(self.session_id)
        self.closed.set()
        self._near.close()
        self._far.close()


class Shares:
    """Stands in for `shared.share`: gives one session after the other, and remembers them.

    Attributes:
        error: raised instead, if it is set.
        opened: whether sessions are open from the start.
    """

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.error: Exception | None = None
        self.opened = True
        self.silent = False
        self.multiplexed = True

    def __call__(self, api: Api, options: Options, grant: Grant) -> FakeSession:
        if self.error is not None:
            raise self.error
        session = FakeSession(grant.session_id)
        session.api, session.options = api, options
        session.opened, session.silent = self.opened, self.silent
        session.multiplexed = self.multiplexed
        self.sessions.append(session)
        return session
