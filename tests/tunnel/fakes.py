"""Stand-ins that several tests of streams share."""

from __future__ import annotations

import contextlib
import math
import socket


class FakeStream:
    """A stream whose far end is a list of bytes."""

    def __init__(self, *, room: int = 1000) -> None:
        self.sent = b""
        self.coming = b""
        self.opened = True
        self.ended = False
        self.finished = False
        self.failure: Exception | None = None
        self.suspicion: Exception | None = None
        self.delivered = True
        self.room = room
        self.wants_read = True
        self.wants_write = False
        self.through, self.session_id, self.resumes = "", "", 0
        self.closed = 0
        self.finish_called = 0

    def fileno(self) -> int:
        return 0

    def deadline(self, now: float) -> float:
        del now
        return math.inf

    def advance(self, now: float, *, readable: bool) -> None:
        """Nothing to drive."""

    def read(self) -> bytes:
        data, self.coming = self.coming, b""
        return data

    def write(self, data: bytes) -> None:
        assert len(data) <= self.room
        self.sent += data

    def finish(self) -> None:
        self.finish_called += 1

    def close(self) -> None:
        self.closed += 1


class SocketStream:
    """A stream whose other end is the socket `far`."""

    def __init__(self) -> None:
        self._near, self.far = socket.socketpair()
        self._near.setblocking(False)
        self.far.settimeout(60)
        self.opened = True
        self.ended = False
        self.failure: Exception | None = None
        self.suspicion: Exception | None = None
        self.finished = False
        self.confirms = True
        self.room = 1 << 16
        self.wants_read, self.wants_write, self.delivered = True, False, True
        self.through, self.session_id, self.resumes = "i-1", "s-1", 0
        self.events: list[str] = []

    def fileno(self) -> int:
        return self._near.fileno()

    def deadline(self, now: float) -> float:
        del now
        return math.inf

    def advance(self, now: float, *, readable: bool) -> None:
        """Nothing to do: `read` and `write` use the socket."""

    def read(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return self._near.recv(1 << 16)
        return b""

    def write(self, data: bytes) -> None:
        self._near.settimeout(60)  # `room` was promised, even if the far end is slow
        self._near.sendall(data)
        self._near.setblocking(False)

    def finish(self) -> None:
        self.events.append("finish")
        self.finished = self.confirms

    def close(self) -> None:
        self.events.append("close")
        self._near.close()
