"""One session as the service sees it: relays between the client's websocket and the agent."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sm_proxy_lab.gateway import wire
from sm_proxy_lab.gateway.admission import Admission, AdmissionControl
from sm_proxy_lab.gateway.agent_link import AgentLink
from sm_proxy_lab.gateway.faulty_relay import FaultyRelay
from sm_proxy_lab.gateway.handshake import TIMED_OUT
from sm_proxy_lab.gateway.outages import Outages
from sm_proxy_lab.gateway.worker import Worker, WorkerRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.gateway.faults import Faults
    from sm_proxy_lab.gateway.websocket import Connection

log = logging.getLogger("sm_proxy_lab.gateway")

# The real service's message is not known.
IDLE_TEXT = "Your session timed out due to inactivity."
# Bytes that the service buffers for a blocked agent before it stops reading from the client.
BACKLOG = 4 << 20


class Session:
    """A session from StartSession to channel_closed."""

    def __init__(
        self,
        request: WorkerRequest,
        target: str,
        faults: Callable[[], Faults],
        on_change: Callable[[Session], None],
    ) -> None:
        self.id = request.session
        self.target = target
        self.faults = faults
        self.client: Connection | None = None
        self.state = "Connecting"
        self.output: str | None = None  # set once it has ended
        self._request = request
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._link = AgentLink(self)
        self._to_client = FaultyRelay(faults, self._send_client)
        self._to_agent = FaultyRelay(faults, self._link.deliver)
        self._admission = AdmissionControl(self.id, faults)
        self.outages = Outages(faults, lambda: self.client, self.end)
        self._reading_paused = False
        self._active = self._loop.time()
        start = faults().worker_start_ms
        # The handshake also times out if no client ever connects.
        self._start_timer = self._loop.call_later(
            start / 1000 if start else faults().handshake_timeout_s,
            self._start_worker if start else self._never_opened,
        )
        self._idle_timer = self._loop.call_later(faults().idle_timeout_s, self._check_idle)

    @property
    def ended(self) -> bool:
        """Whether the session is over for good."""
        return self.output is not None

    # The client's side.

    @property
    def congested(self) -> bool:
        """Whether the client accepts no more data for now."""
        return self.client is not None and self.client.congested

    def attach(self, client: Connection) -> None:
        """Make this connection the client's; an older one is dropped."""
        old, self.client = self.client, client
        if old:
            old.abort()
        client.fragment = self.faults().fragment
        if self.ended:
            self._send_closed()
            return
        self._set_state("Connected")
        self._admission = AdmissionControl(self.id, self.faults)
        self._reading_paused = False
        if self._link.worker is None and not self.faults().worker_start_ms:
            self._start_worker()
        elif self._link.worker:
            self._link.deliver(wire.publication(wire.START))
        if not self._link.up and self.faults().pause_client:
            client.send(wire.publication(wire.PAUSE))
        self.arm()

    def from_client(self, data: bytes, *, text: bool) -> None:
        """Relay or refuse a message from the client."""
        if self.ended:
            return
        if text or len(data) < wire.HEADER.size:
            log.warning("service: %s: %d bytes of garbage from the client", self.id, len(data))
            return
        if wire.kind(data) == wire.INPUT:
            self._active = self._loop.time()
            admission = self._admission.look(data)
            if admission is Admission.PAUSE:
                self._link.deliver(wire.publication(wire.PAUSE))
            elif admission is Admission.CUT:
                self.outages.cut()
            if admission in {Admission.DROP, Admission.CUT}:
                return
        self._to_agent.pass_on(data)
        self.outages.check_bytes()
        worker = self._link.worker
        if worker and self.client and worker.channel.backlog > BACKLOG:
            self._reading_paused = True
            self.client.pause()

    def client_lost(self, client: Connection) -> None:
        """Called when a connection is gone; the session stays open."""
        if client is not self.client:
            return
        self.client = None
        self.outages.disarm()
        if not self.ended:
            self._set_state("Disconnected")
            self._link.deliver(wire.publication(wire.PAUSE))

    def client_writable(self) -> None:
        """Called when the client reads again."""
        if self._link.worker:
            self._link.worker.wake()

    # The agent's side.

    def from_agent(self, data: bytes) -> None:
        """Relay a message from the agent; it is lost while no client is connected."""
        kind = wire.kind(data)
        if kind == wire.SESSION_STATE and not self.faults().forward_state:
            return
        if kind == wire.OUTPUT:
            self._active = self._loop.time()
        self._to_client.pass_on(data)

    def agent_ready_for_input(self) -> None:
        """Read from the client again."""
        if self._reading_paused and self.client:
            self._reading_paused = False
            self.client.resume()

    def agent_away(self) -> None:
        """Tell the client that the agent is disconnected."""
        if self.client and self.faults().pause_client:
            self.client.send(wire.publication(wire.PAUSE))

    def agent_back(self) -> None:
        """Tell the client that the agent is connected again."""
        if self.client and self.faults().pause_client:
            self.client.send(wire.publication(wire.START))
        if self.client is None:
            self._link.deliver(wire.publication(wire.PAUSE))

    # From outside.

    def end(self, output: str = "") -> None:
        """End the session: channel_closed to both sides."""
        if self.ended:
            return
        self.output = output
        self._start_timer.cancel()
        self._idle_timer.cancel()
        self.outages.disarm()
        self._link.close()
        self._to_client.close()
        self._to_agent.close()
        if self.client:
            self._send_closed()
        self._set_state("Terminated")

    def arm(self) -> None:
        """Apply new faults."""
        self._idle_timer.cancel()
        if not self.ended:
            self._check_idle()
        if not self.ended:
            self._link.arm()
            if self.client:
                self.outages.arm()

    def cut_agent(self, *, reset: bool) -> None:
        """Cut the agent's connection; with `reset`, the agent's writes then fail."""
        self._link.cut(reset=reset)

    # Internals.

    def _send_client(self, data: bytes) -> None:
        if self.client:
            self.client.send(data)
            self.outages.check_bytes()

    def _start_worker(self) -> None:
        self._start_timer.cancel()
        if self.faults().silent:
            return
        # The worker sends from a task, so the link has the worker before its first message.
        self._link.worker = Worker(self._request, self._link, self.faults, self.end)

    def _never_opened(self) -> None:
        self.end(TIMED_OUT)

    def _check_idle(self) -> None:
        left = self._active + self.faults().idle_timeout_s - self._loop.time()
        if left <= 0:
            self.end(IDLE_TEXT)
        else:
            self._idle_timer = self._loop.call_later(left, self._check_idle)

    def _send_closed(self) -> None:
        closed = wire.channel_closed(self.id, self.target, self.output or "")
        if self.client:
            self.client.send(closed)
            self.client.close(1000, "Channel closed")

    def _set_state(self, state: str) -> None:
        self.state = state
        self._on_change(self)
