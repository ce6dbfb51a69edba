"""The agent's sending loop: read 1,024 bytes, send them, sleep, repeat; not while it is paused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sm_proxy_lab.gateway import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.gateway.channel import AgentChannel
    from sm_proxy_lab.gateway.faults import Faults

PAYLOAD = 1024
# Messages after which a pump without a pause lets the event loop run other tasks.
BURST = 64


class Pump:
    """Sends what others feed into its buffer.

    A read that waits when a pause begins still takes the next data, as in the agent. The channel
    keeps that data unsent.
    """

    def __init__(
        self, channel: AgentChannel, faults: Callable[[], Faults], on_room: Callable[[], None]
    ) -> None:
        self._channel = channel
        self._faults = faults
        self._on_room = on_room
        self._buffer = bytearray()
        self._reading = True
        self._closed = False
        self._timer: asyncio.Handle | None = None
        self._at_end: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        """Count the bytes that wait."""
        return len(self._buffer)

    def feed(self, data: bytes | memoryview) -> None:
        """Append data to the buffer."""
        if self._closed:
            return
        self._buffer += data
        if self._reading:
            self._read()

    def finish(self, at_end: Callable[[], None]) -> None:
        """Call `at_end` once all was read."""
        self._at_end = at_end
        if self._reading and not self._closed:
            self._read()

    def wake(self) -> None:
        """Resume reading: the channel is active."""
        if self._timer is None and not self._reading and not self._closed:
            self._next()

    def close(self) -> None:
        """Stop reading for good."""
        if self._timer:
            self._timer.cancel()
        self._closed = True
        self._buffer.clear()

    def _next(self) -> None:
        self._timer = None
        if self._channel.active:
            self._reading = True
            self._read()

    def _read(self) -> None:
        for _ in range(BURST):
            if not self._buffer:
                break
            chunk = bytes(self._buffer[:PAYLOAD])
            del self._buffer[:PAYLOAD]
            self._channel.send(wire.DATA, chunk)
            pause = self._faults().pause_ms
            if pause or not self._channel.active:
                self._reading = False
                self._timer = self._loop.call_later(pause / 1000, self._next)
                self._on_room()
                return
        if self._buffer:
            self._reading = False
            self._timer = self._loop.call_soon(self._next)
        elif self._at_end:
            self._reading = False
            self._at_end()
            return
        self._on_room()
