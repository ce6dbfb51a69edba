"""The agent's own websocket to the service, modelled as function calls. It can go down and up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from sm_proxy_lab.gateway import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.gateway.faults import Faults
    from sm_proxy_lab.gateway.worker import Worker


class LinkedSession(Protocol):
    """The session, as the agent's connection sees it."""

    faults: Callable[[], Faults]

    @property
    def congested(self) -> bool:
        """Whether the client accepts no more data for now."""

    def from_agent(self, data: bytes) -> None:
        """Relay a message from the agent."""

    def agent_ready_for_input(self) -> None:
        """Read from the client again."""

    def agent_away(self) -> None:
        """Called when the connection is lost."""

    def agent_back(self) -> None:
        """Called when the connection is up again."""


class AgentLink:
    """Carries messages between a session and its worker while it is up."""

    def __init__(self, session: LinkedSession) -> None:
        self.up = True
        self.worker: Worker | None = None
        self._session = session
        self._moved = 0
        self._cuts = 0
        self._reset = False
        self._in_flight = 0
        self._loop = asyncio.get_running_loop()
        self._cut_timer: asyncio.TimerHandle | None = None
        self._return_timer: asyncio.TimerHandle | None = None
        self.arm()

    def arm(self) -> None:
        """Set the timer of the cut that the faults ask for."""
        if self._cut_timer:
            self._cut_timer.cancel()
        faults = self._session.faults()
        if faults.cut_agent_after_s is not None and (not self._cuts or faults.cut_repeat):
            self._cut_timer = self._loop.call_later(faults.cut_agent_after_s, self.cut)

    # What the agent calls.

    @property
    def congested(self) -> bool:
        """Whether the service accepts no more data for now."""
        return self.up and self._session.congested

    def send(self, data: bytes) -> bool:
        """Send to the service; the message is lost while the link is down.

        Returns:
            False if the socket was reset, so that the agent notices the loss.
        """
        kind = wire.kind(data)
        if kind == wire.ACK and self._due(self._session.faults().reset_agent_after_bytes):
            self.cut(reset=True)
        if self.up:
            self._session.from_agent(data)
            self._count(data)
        elif self._in_flight and kind == wire.OUTPUT:
            self._in_flight -= 1
            self._session.from_agent(data)
        return not self._reset

    def agent_ready_for_input(self) -> None:
        """Let the client send again."""
        self._session.agent_ready_for_input()

    def agent_stalled(self) -> None:
        """Drop the connection: the agent saw no pong for too long."""
        self.cut()

    # What the service calls.

    def deliver(self, data: bytes) -> None:
        """Send to the agent; the message is lost while the link is down."""
        if self.up and self.worker:
            self.worker.channel.receive(data)
            self._count(data)

    def cut(self, *, reset: bool = False) -> None:
        """Cut the connection; the agent reconnects by itself if `agent_returns` is set.

        From now on nothing reaches the agent. The message in flight still reaches the service.

        Args:
            reset: the agent's writes fail until it is back.
        """
        if not self.up:
            return
        self.up = False
        self._reset = reset
        self._in_flight = 1
        self._cuts += 1
        self._session.agent_away()
        faults = self._session.faults()
        if faults.agent_returns:
            seconds = faults.agent_reconnect_ms / 1000
            self._return_timer = self._loop.call_later(seconds, self._reconnect)

    def close(self) -> None:
        """Close the link for good."""
        self.up = False
        for timer in (self._cut_timer, self._return_timer):
            if timer:
                timer.cancel()
        if self.worker:
            self.worker.kill()

    def _reconnect(self) -> None:
        self.up = True
        self._reset = False
        self._in_flight = 0
        self._moved = 0
        if self.worker:
            self.worker.channel.resume()
        self._session.agent_back()
        self.arm()

    def _count(self, data: bytes) -> None:
        self._moved += len(data)
        if self._due(self._session.faults().cut_agent_after_bytes):
            self.cut()

    def _due(self, limit: int | None) -> bool:
        """Whether enough bytes have passed to cut the connection now."""
        again = not self._cuts or self._session.faults().cut_repeat
        return self.up and limit is not None and self._moved > limit and again
