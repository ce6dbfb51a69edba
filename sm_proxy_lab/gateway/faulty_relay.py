"""Loses, duplicates and reorders messages in one direction of a session."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from sm_proxy_lab.gateway import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.gateway.faults import Faults

# Seconds after which a held message is delivered, even if no other message has overtaken it.
HOLD = 0.03


class FaultyRelay:
    """Passes messages on, with the faults that are set."""

    def __init__(self, faults: Callable[[], Faults], deliver: Callable[[bytes], None]) -> None:
        self._faults = faults
        self._deliver = deliver
        self._random = random.Random(faults().seed)  # noqa: S311  no secret depends on it
        self._held: bytes | None = None
        self._timer: asyncio.TimerHandle | None = None

    def pass_on(self, data: bytes) -> None:
        """Deliver a message: never, once, twice or later."""
        faults = self._faults()
        if not faults.noisy and self._held is None:
            self._deliver(data)
            return
        chance = self._random.random
        if chance() < (faults.ack_loss if wire.kind(data) == wire.ACK else faults.drop):
            return
        if self._held is None and chance() < faults.reorder:
            self._held = data
            self._timer = asyncio.get_running_loop().call_later(HOLD, self._release)
            return
        self._deliver(data)
        if chance() < faults.duplicate:
            self._deliver(data)
        self._release()

    def close(self) -> None:
        """Forget what is held."""
        self._held = None
        if self._timer:
            self._timer.cancel()

    def _release(self) -> None:
        if self._timer:
            self._timer.cancel()
        held, self._held = self._held, None
        if held is not None:
            self._deliver(held)
