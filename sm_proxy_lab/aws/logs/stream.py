"""One log stream: its events in order. Every page costs the same to read."""

from __future__ import annotations

import time
from bisect import bisect_right, insort
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

# DescribeLogStreams shows the last event late. AWS documents a delay of up to an hour.
LAST_EVENT_LAG_S = 60.0


class Event(NamedTuple):
    """One line of a log; times in ms of the epoch."""

    timestamp: int
    message: str
    ingested: int


class _Segment(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Event: ...


class Filler:
    """Lines of an ordinary training run, generated when they are read.

    Their timestamps are evenly spaced between `first` and `last`, in ms of the epoch.
    """

    def __init__(self, count: int, first: int, last: int) -> None:
        self._count = count
        self._first = first
        self._last = last

    def __len__(self) -> int:
        """How many lines."""
        return self._count

    def __getitem__(self, index: int) -> Event:
        """Line `index`; each read gives the same line."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        span = self._last - self._first
        when = self._first + span * index // self._count
        loss = 2.3 / (1 + index / 500) + (index * 7919 % 101) / 2000
        rate = 900 + index * 104729 % 97
        message = (
            f"[rank0] INFO train.py:184 epoch {index // 2000} step {index} "
            f"loss {loss:.4f} lr 3.0e-04 grad_norm {0.4 + (index % 37) / 50:.3f} {rate} samples/s"
        )
        return Event(when, message, self._last)


@dataclass
class LogStream:
    """A stream, including events that cannot be read yet."""

    name: str
    created: int
    _segments: list[_Segment] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)
    _length: int = 0
    _due: deque[tuple[float, list[Event] | Filler]] = field(default_factory=deque)
    _newest: int | None = None
    _shown: tuple[float, Event | None] = (0.0, None)

    def put(self, events: list[Event], delay_s: float = 0.0) -> None:
        """Add events, which become readable after `delay_s` seconds."""
        if events:
            self._newest = max(event.timestamp for event in events)
            self._take(events, delay_s)

    def fill(self, count: int, delay_s: float = 0.0) -> None:
        """Append `count` generated lines, with times from the last event's up to now."""
        now = _now_ms()
        first = now - min(count * 5, 3600_000) if self._newest is None else min(self._newest, now)
        self._newest = now
        self._take(Filler(count, first, now), delay_s)

    def deliver(self) -> None:
        """Make the events readable whose delay is over."""
        now = time.time()
        while self._due and self._due[0][0] <= now:
            self._add(self._due.popleft()[1])

    def _take(self, events: list[Event] | Filler, delay_s: float) -> None:
        if delay_s <= 0 and not self._due:
            self._add(events)
            return
        # They wait at least as long as earlier events, so that the stream keeps its order.
        when = max(time.time() + delay_s, self._due[-1][0] if self._due else 0.0)
        self._due.append((when, events))

    def __len__(self) -> int:
        """How many events can be read."""
        return self._length

    def __getitem__(self, index: int) -> Event:
        """The event at a position."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        which = bisect_right(self._starts, index) - 1
        return self._segments[which][index - self._starts[which]]

    def position(self, timestamp: int) -> int:
        """The position of the first event not before `timestamp`."""
        low, high = 0, self._length
        while low < high:
            middle = (low + high) // 2
            if self[middle].timestamp < timestamp:
                low = middle + 1
            else:
                high = middle
        return low

    def last_event(self) -> Event | None:
        """Return the last event that DescribeLogStreams shows, which may be out of date."""
        when, shown = self._shown
        if self._length and (shown is None or time.time() - when > LAST_EVENT_LAG_S):
            self._shown = (time.time(), self[self._length - 1])
        return self._shown[1]

    def _add(self, events: list[Event] | Filler) -> None:
        if isinstance(events, Filler):
            self._append(events)
            return
        if not self._segments or not isinstance(self._segments[-1], list):
            self._append([])
        last = self._segments[-1]
        assert isinstance(last, list)  # noqa: S101 - for the type checker
        for event in events:
            # Sort by time, but only after the last filler: generated lines do not move.
            if last and event.timestamp < last[-1].timestamp:
                insort(last, event, key=lambda known: known.timestamp)
            else:
                last.append(event)
        self._length += len(events)

    def _append(self, segment: _Segment) -> None:
        self._segments.append(segment)
        self._starts.append(self._length)
        self._length += len(segment)


def _now_ms() -> int:
    return int(time.time() * 1000)
