"""What has come from the targets of a session's streams and was not read yet."""

from __future__ import annotations

from collections import deque
from typing import Final

from sm_proxy.ssm import smux
from sm_proxy.ssm.channel import PIECE_BYTES
from sm_proxy.ssm.held_back import HeldBack

READ_LIMIT: Final = 1 << 20


class Incoming:
    """The receiving side of one stream.

    Attributes:
        ended: whether the agent's FIN has come; `read` may still return earlier bytes.
        dropped: whether bytes that come are dropped.
        spoke: whether any byte of the target has come.
        unread: bytes of memory that hold data for `read`.
    """

    def __init__(self) -> None:
        self.ended = False
        self.dropped = False
        self.spoke = False
        self.unread = 0
        self._pieces: deque[bytes | memoryview] = deque()
        self._held_back = HeldBack()

    @property
    def held_until(self) -> float:
        """When to call `read` if nothing new has arrived; infinity for never."""
        return self._held_back.until

    def take(self, piece: bytes | memoryview) -> None:
        """Keep bytes of the target."""
        self.spoke = True
        if not self.dropped:
            self._pieces.append(piece)
            self.unread += len(piece) + PIECE_BYTES

    def read(self, now: float, *, hold: bool) -> bytes:
        """The bytes since the last call, about a megabyte at most; see `held_back` for `hold`."""
        taken: list[bytes | memoryview] = []
        size = 0
        while self._pieces and size < READ_LIMIT:
            taken.append(self._pieces.popleft())
            size += len(taken[-1])
        if taken:
            self.unread -= size + PIECE_BYTES * len(taken)
        return self._held_back.passed(b"".join(taken), now, hold=hold)

    def drop(self) -> None:
        """Drop what was not read, and what still comes."""
        self.dropped = True
        self._held_back = HeldBack()
        self._pieces.clear()
        self.unread = 0


class Demultiplexer:
    """Gives each stream of a session its bytes.

    Attributes:
        first: what came for the first stream, or for the only one.
        streams: what came for each stream, by its id.
        multiplexed: whether the bytes are smux frames.
        ends: the ids of the streams whose FIN has come, since the last `clear`.
        unused: the id of the next stream. It and all behind it were never opened.
        strays: the ids of streams that are over and got bytes all the same: they were dropped.
    """

    def __init__(self) -> None:
        self.first = Incoming()
        self.streams = {smux.FIRST: self.first}
        self.multiplexed = False
        self.ends: list[int] = []
        self.unused = smux.FIRST
        self.strays: set[int] = set()
        self._reader = smux.Reader()

    @property
    def unread(self) -> int:
        """Bytes of memory that wait to be read."""
        if self._alone:
            return self.first.unread
        return sum(stream.unread for stream in self.streams.values())

    @property
    def held_until(self) -> float:
        """When to read if nothing new has arrived; infinity for never."""
        if self._alone:
            return self.first.held_until
        held = (stream.held_until for stream in self.streams.values())
        return min(held, default=float("inf"))

    @property
    def spoke(self) -> bool:
        """Whether any byte of a target has come."""
        return any(stream.spoke for stream in self.streams.values())

    @property
    def _alone(self) -> bool:
        return len(self.streams) == 1 and smux.FIRST in self.streams

    def feed(self, data: bytes) -> None:
        """Take the agent's bytes.

        Raises:
            SmuxError: they are not smux frames.
        """
        if not self.multiplexed:
            self.first.take(data)
            return
        alone = self._alone
        for number, piece in self._reader.feed(data):
            stream = self.streams.get(number)
            if stream is None or stream.ended:
                if piece is not None and number < self.unused:
                    self.strays.add(number)
            elif piece is None:
                stream.ended = True
                self.ends.append(number)
            else:  # a view keeps all of `data` in memory, which other streams may hold for long
                stream.take(piece if alone else bytes(piece))
