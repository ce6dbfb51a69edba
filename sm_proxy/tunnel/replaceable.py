"""A stream that may be replaced by another one until its first byte has come.

Until then we keep the bytes from ssh. The other stream gets the same bytes; ssh does not notice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from sm_proxy.local.threads import Background
from sm_proxy.tunnel.stream import Stream, StreamWrapper

_TICK_S: Final = 0.05
_REMEMBERED_BYTES: Final = 1 << 16
"""Before the server's greeting, ssh sends only its own greeting and one key exchange message."""


class ReplaceableStream(StreamWrapper):
    """A `Stream` that may change its inner stream until the first byte has come.

    A subclass says when to look for another stream (`_wants_another`), and when to ask it again at
    the latest (`_due`).

    Args:
        stream: the first one.
        find: finds another stream, in a thread. None keeps the one there is; an exception is the
            failure of this stream.
    """

    def __init__(self, stream: Stream, find: Callable[[], Stream | None]) -> None:
        super().__init__(stream)
        self._find = find
        self._search: Background[Stream | None] | None = None
        self._due = math.inf
        self._settled = False
        self._failure: Exception | None = None
        self._sent = b""
        self._to_repeat = b""

    def _wants_another(self, now: float) -> bool:
        """Whether to look for another stream; asked until the first byte has come."""
        raise NotImplementedError

    @property
    def transparent(self) -> bool:
        """Whether the stream inside stays the same, and has all bytes."""
        return self._settled and self._search is None and not self._to_repeat

    @property
    def opened(self) -> bool:
        """Whether bytes can flow, and no other stream is looked for."""
        return self._stream.opened and (self._settled or self._search is None)

    @property
    def ended(self) -> bool:
        """Whether no more bytes will come, from no stream."""
        return self._failure is not None or (self._settled and self._stream.ended)

    @property
    def failure(self) -> Exception | None:
        """Why it ended: the error of the search, else of the stream."""
        if self._failure is not None or not self._settled:
            return self._failure
        return self._stream.failure

    @property
    def delivered(self) -> bool:
        """Whether everything written has reached the other side."""
        return not self._to_repeat and self._stream.delivered

    @property
    def room(self) -> int:
        """How many bytes `write` takes now."""
        if self._settled:
            return 0 if self._to_repeat else self._stream.room
        if self._search is not None or self._to_repeat:
            return 0
        return min(self._stream.room, _REMEMBERED_BYTES - len(self._sent))

    def deadline(self, now: float) -> float:
        """When to call `advance` at the latest."""
        due = self._stream.deadline(now)
        if self._settled:
            return due
        return min(due, now + _TICK_S if self._search is not None else self._due)

    def advance(self, now: float, *, readable: bool) -> None:
        """Drive the stream and the search for another one."""
        self._stream.advance(now, readable=readable)
        if not self._settled:
            self._look(now)
        elif self._search is not None:
            self._drop_late_result(self._search)
        self._repeat(now)

    def read(self) -> bytes:
        """The bytes that have come; the first one settles which stream is used."""
        data = self._stream.read()
        if data:
            self._settle()
        return data

    def write(self, data: bytes) -> None:
        """Take bytes, and keep them until the stream is settled."""
        if not self._settled:
            self._sent += data
        self._stream.write(data)

    def finish(self) -> None:
        """Deliver what was written, then end."""
        self._settle()
        self._stream.finish()

    def close(self) -> None:
        """Free everything."""
        if self._search is not None and (other := self._search.settled(0)) is not None:
            other.close()
        self._stream.close()

    def _look(self, now: float) -> None:
        if self._search is None:
            if self._wants_another(now):
                self._search = Background(self._find)
            elif self._stream.ended:
                self._settle()
            return
        if not self._search.done:
            return
        try:
            other = self._search.result()
        except Exception as error:  # noqa: BLE001 - any error is this stream's failure
            self._failure = error
            return
        self._search = None
        if other is None:
            self._settle()
        else:
            self._change_to(other)

    def _drop_late_result(self, search: Background[Stream | None]) -> None:
        """Close the stream of a search that ended after the first byte had come."""
        if search.done:
            self._search = None
            if (unwanted := search.settled(0)) is not None:
                Background(unwanted.close)

    def _change_to(self, stream: Stream) -> None:
        Background(self._stream.close)
        self._stream = stream
        self._to_repeat = self._sent

    def _settle(self) -> None:
        self._settled = True
        self._sent = b""

    def _repeat(self, now: float) -> None:
        while self._to_repeat and (room := self._stream.room):
            self._stream.write(self._to_repeat[:room])
            self._to_repeat = self._to_repeat[room:]
            self._stream.advance(now, readable=False)
