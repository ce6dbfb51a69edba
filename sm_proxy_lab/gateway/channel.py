"""The agent's end of one data channel: sequence numbers, acks, the reorder buffer, resends."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol

from sm_proxy_lab.gateway import wire
from sm_proxy_lab.gateway.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("sm_proxy_lab.gateway")

INCOMING_CAPACITY = 100_000
# Seconds after which a blocked agent misses the pong and treats its connection as dead.
PONG_WAIT = 60.0


class Outcome(enum.Enum):
    """What became of a message's payload."""

    DONE = enum.auto()  # ack it
    BLOCKED = enum.auto()  # a write has not returned yet; `unblocked` follows
    REJECTED = enum.auto()  # no ack, the client will send it again


class Link(Protocol):
    """The agent's connection to the service."""

    @property
    def congested(self) -> bool:
        """Whether the service accepts no more data for now."""

    def send(self, data: bytes) -> bool:
        """Send a message; return False if the agent notices that it is lost."""

    def agent_ready_for_input(self) -> None:
        """Report that the agent reads again after it was blocked."""

    def agent_stalled(self) -> None:
        """Report that the agent was blocked too long and drops its connection."""


class AgentChannel:
    """The agent's reliable delivery, including the agent's bugs.

    `process` gets the messages in order, each when it is the next one.
    """

    def __init__(self, link: Link, process: Callable[[wire.Message], Outcome]) -> None:
        self.expected = 0
        self.on_active: Callable[[], None] | None = None
        self.backlog = 0  # bytes received while a write is blocked
        self.outgoing = Outgoing(self._transmit)
        self._link = link
        self._process = process
        self._sequence = 0
        self._incoming: dict[int, wire.Message] = {}
        self._inbox: deque[bytes] = deque()
        self._blocked: tuple[wire.Message, bool] | None = None
        self._blocked_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._closed = False

    @property
    def active(self) -> bool:
        """Whether the agent may read its source: not paused, and the service accepts data."""
        return not self.outgoing.paused and not self._link.congested

    # Agent to client.

    def send(self, payload_type: int, payload: bytes) -> None:
        """Send one sequenced message, and keep it until it is acknowledged."""
        data = wire.encode(
            wire.OUTPUT,
            payload,
            sequence=self._sequence,
            flags=0 if self._sequence else 1,
            payload_type=payload_type,
        )
        if not self.outgoing.paused:
            self._transmit(data)
        self.outgoing.add(self._sequence, data)
        self._sequence += 1

    def send_state(self, state: str, session: str) -> None:
        """Send an agent_session_state, which the service does not relay."""
        payload = f'{{"SchemaVersion":1,"SessionState":"{state}","SessionId":"{session}"}}'
        self._transmit(wire.encode(wire.SESSION_STATE, payload.encode(), flags=wire.SYN_FIN))

    # Client or service to agent.

    def receive(self, data: bytes) -> None:
        """Take one message off the link; while a write is blocked, keep it for later.

        The agent has one thread for this, which a blocked write stops.
        """
        if self._closed:
            return
        if self._blocked:
            self._inbox.append(data)
            self.backlog += len(data)
        else:
            self._handle(data)

    def resume(self) -> None:
        """End the pause, as any message or a new connection does."""
        was_paused = self.outgoing.paused
        self.outgoing.paused = False
        if was_paused and self.on_active:
            self.on_active()

    def unblocked(self, outcome: Outcome = Outcome.DONE) -> None:
        """Go on after a blocked write returned, with success or failure."""
        if self._blocked is None:
            return
        message, acked = self._blocked
        self._blocked = None
        stalled = self._loop.time() - self._blocked_since >= PONG_WAIT
        if outcome is Outcome.DONE:
            self._accept(message, acked=acked)
            self._drain()
        while self._inbox and self._blocked is None:
            data = self._inbox.popleft()
            self.backlog -= len(data)
            self._handle(data)
        if not self._inbox:
            self._link.agent_ready_for_input()
        if stalled:
            self._link.agent_stalled()

    def close(self) -> None:
        """Stop sending, resending and receiving."""
        self._closed = True
        self.outgoing.close()
        self._incoming.clear()
        self._inbox.clear()
        self._blocked = None
        self.backlog = 0

    def _transmit(self, data: bytes) -> bool:
        return not self._closed and self._link.send(data)

    def _handle(self, data: bytes) -> None:
        try:
            message = wire.decode(data)
            if message.type == wire.INPUT:
                self.resume()
                self._input(message)
            elif message.type == wire.ACK:
                self.resume()
                self.outgoing.acknowledge(wire.acknowledged(message.payload))
            elif message.type == wire.PAUSE:
                self.outgoing.paused = True
            elif message.type == wire.START:
                self.resume()
            else:
                log.warning("agent: message of type %r ignored", message.type)
        except wire.MalformedError as error:
            log.warning("agent: malformed message dropped: %s", error)

    def _input(self, message: wire.Message) -> None:
        if message.sequence == self.expected:
            if self._take(message, acked=False):
                self._drain()
        elif message.sequence < self.expected:
            self._acknowledge(message)
        elif len(self._incoming) < INCOMING_CAPACITY and self._acknowledge(message):
            self._incoming[message.sequence] = message

    def _take(self, message: wire.Message, *, acked: bool) -> bool:
        try:
            outcome = self._process(message)
        except wire.MalformedError as error:
            log.warning("agent: payload of message %d refused: %s", message.sequence, error)
            return False
        if outcome is Outcome.DONE:
            self._accept(message, acked=acked)
        elif outcome is Outcome.BLOCKED:
            self._blocked = (message, acked)
            self._blocked_since = self._loop.time()
        return outcome is Outcome.DONE

    def _accept(self, message: wire.Message, *, acked: bool) -> None:
        if not acked and not self._acknowledge(message):
            return  # a bug of the agent: the payload is written, and a resend is written again
        self._incoming.pop(message.sequence, None)
        self.expected += 1

    def _drain(self) -> None:
        while self._blocked is None:
            message = self._incoming.get(self.expected)
            if message is None or not self._take(message, acked=True):
                return

    def _acknowledge(self, message: wire.Message) -> bool:
        """Send the ack; return False if the agent notices that this fails."""
        return self._transmit(wire.acknowledge(message))
