"""A byte stream to a container, and the base class of streams that wrap another one."""

from __future__ import annotations

import time
from typing import Final, Protocol

from sm_proxy.local import poll

FINISH_S: Final = 1.0
"""How long to wait until the far end confirms the end of a stream."""


class Stream(Protocol):
    """A duplex byte stream that never blocks.

    Its driver waits until `fileno` is readable (or writable, if `wants_write`) or `deadline` has
    passed. Then it calls `advance`.
    """

    @property
    def opened(self) -> bool:
        """Whether bytes can flow."""

    @property
    def ended(self) -> bool:
        """Whether no more bytes will come; `read` may still return earlier ones."""

    @property
    def failure(self) -> Exception | None:
        """Why it ended; None after a clean end."""

    @property
    def suspicion(self) -> Exception | None:
        """Why an end that looks clean may be a failure, if the far end ended it."""

    @property
    def delivered(self) -> bool:
        """Whether everything written has reached the other side."""

    @property
    def finished(self) -> bool:
        """Whether both ends know that it is over."""

    @property
    def room(self) -> int:
        """How many bytes `write` takes now; 0 means: do not read more from ssh."""

    @property
    def wants_read(self) -> bool:
        """Whether to wait for the descriptor to be readable."""

    @property
    def wants_write(self) -> bool:
        """Whether to wait for the descriptor to be writable."""

    @property
    def through(self) -> str:
        """The route, and the machine that the bytes pass through, such as `bastion i-0abc`."""

    @property
    def session_id(self) -> str:
        """The id of the SSM session below the stream; empty if the route has none."""

    @property
    def resumes(self) -> int:
        """How often a lost connection was resumed."""

    def fileno(self) -> int:
        """The descriptor to wait for, -1 if there is none; `advance` may change it."""

    def deadline(self, now: float) -> float:
        """When to call `advance` at the latest, in the time of `time.monotonic`."""

    def advance(self, now: float, *, readable: bool) -> None:
        """Do everything that can be done without waiting.

        Args:
            now: the time of `time.monotonic`.
            readable: whether the descriptor is readable.
        """

    def read(self) -> bytes:
        """The bytes that have come since the last call."""

    def write(self, data: bytes) -> None:
        """Take at most `room` bytes for the other side."""

    def finish(self) -> None:
        """Deliver what was written, then end; continue to call `advance` until `finished`."""

    def close(self) -> None:
        """Free everything; takes about two seconds at most."""


class StreamWrapper:
    """A `Stream` around another one. It passes every call on; a subclass overrides some.

    Args:
        stream: the one inside.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def transparent(self) -> bool:
        """Whether it has nothing left to do, so that the stream inside can take its place.

        Once true, it stays true, and the stream inside stays the same.
        """
        return False

    @property
    def opened(self) -> bool:
        """Whether bytes can flow."""
        return self._stream.opened

    @property
    def ended(self) -> bool:
        """Whether no more bytes will come."""
        return self._stream.ended

    @property
    def failure(self) -> Exception | None:
        """Why it ended; None after a clean end."""
        return self._stream.failure

    @property
    def suspicion(self) -> Exception | None:
        """Why an end that looks clean may be a failure."""
        return self._stream.suspicion

    @property
    def delivered(self) -> bool:
        """Whether everything written has reached the other side."""
        return self._stream.delivered

    @property
    def finished(self) -> bool:
        """Whether both ends know that it is over."""
        return self._stream.finished

    @property
    def room(self) -> int:
        """How many bytes `write` takes now."""
        return self._stream.room

    @property
    def wants_read(self) -> bool:
        """Whether to wait for the descriptor to be readable."""
        return self._stream.wants_read

    @property
    def wants_write(self) -> bool:
        """Whether to wait for the descriptor to be writable."""
        return self._stream.wants_write

    @property
    def through(self) -> str:
        """The route, and the machine that the bytes pass through."""
        return self._stream.through

    @property
    def session_id(self) -> str:
        """The id of the SSM session below the stream."""
        return self._stream.session_id

    @property
    def resumes(self) -> int:
        """How often a lost connection was resumed."""
        return self._stream.resumes

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._stream.fileno()

    def deadline(self, now: float) -> float:
        """When to call `advance` at the latest."""
        return self._stream.deadline(now)

    def advance(self, now: float, *, readable: bool) -> None:
        """Do everything that can be done without waiting."""
        self._stream.advance(now, readable=readable)

    def read(self) -> bytes:
        """The bytes that have come since the last call."""
        return self._stream.read()

    def write(self, data: bytes) -> None:
        """Take at most `room` bytes for the other side."""
        self._stream.write(data)

    def finish(self) -> None:
        """Deliver what was written, then end."""
        self._stream.finish()

    def close(self) -> None:
        """Free everything."""
        self._stream.close()


def unwrapped(stream: Stream) -> Stream:
    """The stream without the wrappers around it that have nothing left to do."""
    while isinstance(stream, StreamWrapper) and stream.transparent:
        stream = stream._stream  # noqa: SLF001 - of the class above
    return stream


def wanted(stream: Stream) -> tuple[list[int], list[int]]:
    """The descriptors to wait for, as two lists: readable, writable; empty without a socket."""
    descriptor = stream.fileno()
    if descriptor < 0:
        return [], []
    return [descriptor] if stream.wants_read else [], [descriptor] if stream.wants_write else []


def finish(stream: Stream, within_s: float | None = None) -> None:
    """Tell the far end that the stream ends, and wait until it confirms: `FINISH_S` by default.

    Bytes that still come are dropped.
    """
    stream.finish()
    until = time.monotonic() + (within_s or FINISH_S)
    readable = False
    while not stream.finished and stream.failure is None and (now := time.monotonic()) < until:
        stream.advance(now, readable=readable)
        stream.read()
        readers, writers = wanted(stream)
        if stream.finished or not readers:
            return
        due = min(until, stream.deadline(now)) - now
        readable = bool(poll.wait(readers, writers, [], due).readable)
