"""Interruptions of a client's connection: cuts, the hourly close, a connection that goes dead."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.gateway.faults import Faults
    from sm_proxy_lab.gateway.websocket import Connection


class Outages:
    """Interrupts one session's client when the faults or the control socket say so."""

    def __init__(
        self,
        faults: Callable[[], Faults],
        client: Callable[[], Connection | None],
        end: Callable[[str], None],
    ) -> None:
        self._faults = faults
        self._client = client
        self._end = end
        self._interrupted = False
        self._timers: list[asyncio.TimerHandle] = []

    def cut(self) -> None:
        """Cut the connection without a close frame."""
        client = self._client()
        if client:
            self._interrupted = True
            client.abort()

    def freeze(self) -> None:
        """Let the connection go dead without closing it."""
        client = self._client()
        if client:
            self._interrupted = True
            client.frozen = True

    def bye(self) -> None:
        """Close the connection as the service does every hour."""
        client = self._client()
        if client:
            client.close(1000, "Bye")

    def arm(self) -> None:
        """Set the timers for a connection that is open."""
        self.disarm()
        faults = self._faults()
        text = faults.close_with_text
        if text is not None:
            self._later(0, lambda: self._end(text))
        self._later(faults.bye_after_s, self.bye)
        if self._due:
            self._later(faults.cut_client_after_s, self.cut)
            self._later(faults.freeze_client_after_s, self.freeze)

    def disarm(self) -> None:
        """Cancel the timers."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def check_bytes(self) -> None:
        """Interrupt a connection that has carried more bytes than the faults allow."""
        client = self._client()
        if client is None or not self._due:
            return
        faults = self._faults()
        if _above(client.bytes_moved, faults.cut_client_after_bytes):
            self.cut()
        elif _above(client.bytes_moved, faults.freeze_client_after_bytes):
            self.freeze()

    @property
    def _due(self) -> bool:
        return not self._interrupted or self._faults().cut_repeat

    def _later(self, seconds: float | None, call: Callable[[], None]) -> None:
        if seconds is not None:
            self._timers.append(asyncio.get_running_loop().call_later(seconds, call))


def _above(moved: int, limit: int | None) -> bool:
    return limit is not None and moved > limit
