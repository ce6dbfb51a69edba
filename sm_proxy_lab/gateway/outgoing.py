"""The agent's unacknowledged messages; only the oldest is resent."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 0.1
CAPACITY = 100_000
CLOCK_GRANULARITY = 0.01
MAX_RTO = 1.0


class Outgoing:
    """The unacknowledged messages of one direction, with the agent's timers."""

    def __init__(self, resend: Callable[[bytes], object]) -> None:
        self.paused = False
        self.rto = 0.2
        self._srtt = 0.1
        self._rttvar = 0.0
        self._resend = resend
        self._messages: OrderedDict[int, list[bytes | float]] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """Count the messages."""
        return len(self._messages)

    def add(self, sequence: int, data: bytes) -> None:
        """Keep a message that was just sent, unless the capacity is reached."""
        if len(self._messages) >= CAPACITY:
            return
        self._messages[sequence] = [data, self._loop.time()]
        if self._timer is None:
            self._schedule()

    def acknowledge(self, sequence: int) -> None:
        """Drop an acknowledged message, and use its round trip for the timeout."""
        entry = self._messages.pop(sequence, None)
        if entry is None:
            return
        self._measure(self._loop.time() - float(entry[1]))
        if not self._messages and self._empty and not self._empty.done():
            self._empty.set_result(None)

    async def wait_empty(self, seconds: float) -> None:
        """Wait until all messages are acknowledged, for at most `seconds`."""
        if self._messages:
            self._empty = self._loop.create_future()
            await asyncio.wait([self._empty], timeout=seconds)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer:
            self._timer.cancel()
        self._messages.clear()

    def _measure(self, rtt: float) -> None:
        self._rttvar = 0.75 * self._rttvar + 0.25 * abs(self._srtt - rtt)
        self._srtt = 0.875 * self._srtt + 0.125 * rtt
        self.rto = min(MAX_RTO, self._srtt + max(CLOCK_GRANULARITY, 4 * self._rttvar))

    def _schedule(self) -> None:
        # The real agent always wakes every 100 ms; we only while a message is unacknowledged.
        ticks = int((self._loop.time() - self._begin) / TICK) + 1
        self._timer = self._loop.call_at(self._begin + ticks * TICK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if not self._messages:
            return
        if not self.paused:
            entry = next(iter(self._messages.values()))
            now = self._loop.time()
            if now - float(entry[1]) > self.rto:
                entry[1] = now
                self._resend(bytes(entry[0]))  # type: ignore[arg-type]
        if self._messages:
            self._schedule()
