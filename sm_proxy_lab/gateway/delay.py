"""Latency: each item comes out a fixed time later, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class DelayLine(Generic[T]):
    """Hands each item to `deliver` after `seconds`, or at once if that is 0."""

    def __init__(self, seconds: float, deliver: Callable[[T], None]) -> None:
        self._seconds = seconds
        self._deliver = deliver
        self._items: deque[tuple[float, T]] = deque()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def push(self, item: T) -> None:
        """Put an item in."""
        if not self._seconds:
            self._deliver(item)
            return
        due = self._loop.time() + self._seconds
        self._items.append((due, item))
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._drain)

    def clear(self) -> None:
        """Drop the items that were not delivered yet."""
        self._items.clear()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _drain(self) -> None:
        self._timer = None
        # epoll counts whole milliseconds. Half a millisecond early is better than a whole one late.
        now = self._loop.time() + 0.0005
        while self._items and self._items[0][0] <= now:
            self._deliver(self._items.popleft()[1])
        if self._items and self._timer is None:
            self._timer = self._loop.call_at(self._items[0][0], self._drain)
