"""The queue of one stream on its way to the agent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

QUEUE_BYTES: Final = 256 << 10


class Lane:
    """What one stream still has to send.

    Args:
        frame: makes a frame of each message's bytes; None for bytes without frames.

    Attributes:
        in_flight: how many of its messages have no ack yet.
        started: whether any message of it was sent.
        repeated_at: when the agent was last away while some of its messages had no ack.
    """

    def __init__(self, frame: Callable[[bytes], bytes] | None = None) -> None:
        self.frame = frame
        self.in_flight = 0
        self.started = False
        self.repeated_at: float | None = None
        self._queue = bytearray()
        self._taken = 0
        self._whole: deque[tuple[int, bytes]] = deque()

    @property
    def waiting(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._queue or self._whole)

    @property
    def room(self) -> int:
        """How many bytes `put` accepts now."""
        return max(0, QUEUE_BYTES - len(self._queue))

    @property
    def delivered(self) -> bool:
        """Whether everything queued so far has been acknowledged."""
        return not (self.waiting or self.in_flight)

    def put(self, data: bytes) -> None:
        """Queue bytes of the stream."""
        self._queue += data

    def put_whole(self, data: bytes) -> None:
        """Queue bytes that are a message of their own, behind the queued bytes of the stream."""
        self._whole.append((self._taken + len(self._queue), data))

    def fills(self, size: int) -> bool:
        """Whether `size` bytes of the stream can be sent in one message now."""
        bytes_before = self._whole[0][0] - self._taken if self._whole else len(self._queue)
        return bytes_before >= size

    def take(self, size: int) -> bytes:
        """The next message: a whole one, or at most `size` bytes of the stream in a frame."""
        self.started = True
        if self._whole:
            size = min(size, self._whole[0][0] - self._taken)
            if not size:
                return self._whole.popleft()[1]
        chunk = bytes(memoryview(self._queue)[:size])
        del self._queue[: len(chunk)]
        self._taken += len(chunk)
        return self.frame(chunk) if self.frame else chunk

    def clear(self) -> None:
        """Drop what waits to be sent."""
        self._queue.clear()
        self._whole.clear()
