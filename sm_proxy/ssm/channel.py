"""The data channel as a state machine: frames and times come in, events and frames go out.

It has no socket, no clock and no sleep. Methods that need the time take `now`, the seconds of any
clock that never goes back. The states, and what may happen in each:

    HANDSHAKE  Wait for the agent's request and answer it. HandshakeComplete leads to OPEN, and the
               caller gets `Opened`. So does the first output of a shell, or `open_quiet`: for
               shells, agents shake hands only to encrypt
               (A: session/plugins/sessionplugin/sessionplugin.go).
    OPEN       Bytes flow both ways. `finish` leads to FINISHING.
    FINISHING  Deliver the queued bytes, then tell the agent to end the session. CLOSED follows.
    CLOSED     The caller has got `Closed`. Only acks are sent from now on.

A channel_closed message or a protocol error leads from any state to CLOSED. A lost connection does
not change the state: sequence numbers and unacknowledged messages outlive it, and `reconnected`
continues on the new connection. Acks are handled in every state, because HandshakeComplete may
arrive before the ack of our answer (A: datachannel.go:696-709).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from sm_proxy.ssm import message
from sm_proxy.ssm.acks import Acks
from sm_proxy.ssm.encryption import OVERHEAD_BYTES, Cipher
from sm_proxy.ssm.events import AgentText, Closed, Event, KeyWanted, Opened, PortRefused
from sm_proxy.ssm.handshake import Encryption, HandshakeError, SessionType, read_document
from sm_proxy.ssm.inbox import Content, Inbox
from sm_proxy.ssm.lane import Lane
from sm_proxy.ssm.message import Flag, MalformedMessageError, Message, PayloadType
from sm_proxy.ssm.negotiation import Negotiation
from sm_proxy.ssm.outbox import LARGE_PAYLOAD, LargeMessageRefusedError, Outbox
from sm_proxy.ssm.timing import MESSAGES_PER_S

LARGE_REFUSED: Final = "a message above 1,024 bytes got no acknowledgement"
_SHOWN: Final = (
    PayloadType.ERROR,
    PayloadType.STDERR,
)
"""Payloads with a text for the user."""
_TERMINAL: Final = b'{"cols":500,"rows":50}'
"""The size of a shell's terminal: wide, so that a line editor does not wrap what we type."""
_NO_HANDSHAKE: Final = Opened("", multiplexed=False, customer_message="")
PIECE_BYTES: Final = 64
"""Memory that a received payload needs besides its bytes. Counted, so that a flood of tiny payloads
is bounded as well."""


class State(Enum):
    """The states that the head of this module explains."""

    HANDSHAKE = auto()
    OPEN = auto()
    FINISHING = auto()
    CLOSED = auto()


class Channel:
    """One data channel, from the first frame to the last.

    Args:
        now: the time, in seconds.
        wall_ms: the same moment in Unix milliseconds, for CreatedDate.
        payload_limit: the largest payload to try, in bytes.
        messages_per_s: largest number of data messages to send in a second.
        session_type: of the session's document.

    Attributes:
        malformed: number of messages that were dropped because they could not be decoded.
        unread: bytes of memory that hold data for `read`.
        paused_at: when the service reported that the agent is away, or when a new message of the
            agent last arrived after that; None while the agent is present.
        progress: counts new bytes of the target and new acks. Messages that a peer can repeat for
            ever (copies, old acks, pauses, handshakes) do not count.
        repeated_at: when the agent was last away while some of our messages had no ack. The agent
            may already have written them to the target. Without an ack we send them again, and
            the agent writes them a second time (measured).
        confirmed: whether the far end knows that the session is over.
    """

    def __init__(
        self,
        now: float,
        wall_ms: int,
        payload_limit: int = LARGE_PAYLOAD,
        messages_per_s: float = MESSAGES_PER_S,
        session_type: SessionType = "Port",
    ) -> None:
        self.state = State.HANDSHAKE
        self.malformed = 0
        self.unread = 0
        self.paused_at: float | None = None
        self.progress = 0
        self.repeated_at: float | None = None
        self.confirmed = False
        self._wall_ms_at_zero = wall_ms - now * 1000
        self._negotiation = Negotiation(session_type)
        self._inbox = Inbox()
        self._outbox = Outbox(now, wall_ms, payload_limit, messages_per_s)
        self._acks = Acks()
        self._events: list[Event] = []
        self._received: deque[bytes] = deque()
        self._terminating = False
        self._quiet = False

    # input

    @property
    def room(self) -> int:
        """How many bytes `write` accepts now. At 0, stop reading the source."""
        return self._outbox.room if self.state is State.OPEN else 0

    @property
    def first_lane(self) -> Lane:
        """The queue of the first stream, or of the only one."""
        return self._outbox.first

    def write(self, data: bytes, lane: Lane | None = None) -> None:
        """Queue bytes for the target of a stream, by default the first; only in state OPEN."""
        self._outbox.put(data, lane)

    def write_whole(self, data: bytes, lane: Lane | None = None) -> None:
        """Queue bytes that are a message of their own, behind those of `write`; in state OPEN."""
        self._outbox.put_whole(data, lane)

    def drop(self, lane: Lane) -> None:
        """Drop what a stream has written and what was not sent yet."""
        self._outbox.drop(lane)

    def frame_with(self, frame: Callable[[bytes], bytes], overhead: int) -> None:
        """Make frames of the messages' bytes, which adds `overhead` bytes to each; see `outbox`."""
        self._outbox.frame_with(frame, overhead)

    def open_quiet(self, now: float) -> None:
        """Open a shell that has no prompt; without effect if it is open, or shakes hands."""
        if self.state is State.HANDSHAKE and self._negotiation.may_be_skipped:
            self._quiet = True
            self._opened(_NO_HANDSHAKE, now)

    def finish(self) -> None:
        """Deliver what is queued, then end the session."""
        if self.state is State.HANDSHAKE:
            self._close("")
        elif self.state is State.OPEN:
            self.state = State.FINISHING
            self._terminate_when_drained()

    def receive(self, frame: bytes, now: float) -> None:
        """Process one binary websocket message."""
        try:
            received = message.decode(frame)
        except MalformedMessageError:
            # The reference client sends no ack either: the agent will send the message again.
            self.malformed += 1
            return
        if received.kind == message.OUTPUT:
            self._on_output(received, now)
        elif received.kind == message.ACKNOWLEDGE:
            self._on_acknowledge(received, now)
        elif received.kind == message.CHANNEL_CLOSED:
            self._on_channel_closed(received.payload)
        elif received.kind == message.PAUSE_PUBLICATION:
            self._outbox.pause()
            if self.paused_at is None:
                self.paused_at = now
            self._note_possible_repeat(now)
        elif received.kind == message.START_PUBLICATION:
            self._unpause(now)
        elif received.kind == message.SESSION_STATE:
            self._events += map(AgentText, _texts(received.payload))

    def reconnected(self, now: float) -> None:
        """Continue the session on a new connection. Nothing is reset.

        The latest acks may have been lost with the old connection. The agent would find that out
        for only one message in 100 ms, so we send them again. It ignores acks that it already has.
        """
        self._acks.repeat()
        self._unpause(now)
        try:
            self._outbox.reconnected(now)
        except LargeMessageRefusedError:
            self._close(LARGE_REFUSED)

    def provide_key(self, ciphertext: bytes, cipher: Cipher) -> None:
        """Answer `KeyWanted` with the data key: its ciphertext for the agent, and its cipher."""
        self._answer(self._negotiation.provide_key(ciphertext, cipher))

    def refuse_key(self, reason: str) -> None:
        """Answer `KeyWanted` without a data key. The agent will end the session."""
        self._answer(self._negotiation.refuse_key(reason))

    @property
    def probing(self) -> bool:
        """Whether the first large message has no ack yet."""
        return self._outbox.probing

    # output

    def events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def read(self, limit: int = 1 << 30) -> bytes:
        """The target's bytes since the last call, at most about `limit`."""
        taken: list[bytes] = []
        size = 0
        while self._received and size < limit:
            taken.append(self._received.popleft())
            size += len(taken[-1])
        self.unread -= size + PIECE_BYTES * len(taken)
        return b"".join(taken)

    def frames(self, now: float, budget: int) -> list[bytes]:
        """The frames to write now: all acks, then at most about `budget` bytes of data."""
        acks = self._acks.take()
        if self.state is State.CLOSED:
            return acks
        try:
            return acks + self._outbox.frames(now, budget)
        except LargeMessageRefusedError:
            self._close(LARGE_REFUSED)
            return acks

    @property
    def deadline(self) -> float:
        """When to call `frames` if nothing arrives: minus infinity is now, infinity is never."""
        if self._acks:
            return float("-inf")
        return self._outbox.deadline if self.state is not State.CLOSED else float("inf")

    @property
    def unsent_acks(self) -> int:
        """Number of acks that wait for `frames`. A caller that cannot write should stop reading."""
        return len(self._acks)

    @property
    def delivered(self) -> bool:
        """Whether everything written has been acknowledged."""
        return self._outbox.empty

    @property
    def refusal(self) -> str:
        """Why we refused what the agent's handshake asked for; usually empty."""
        return self._negotiation.refusal

    # internal

    def _on_output(self, received: Message, now: float) -> None:
        known = self._inbox.has(received.sequence)
        acknowledge, contents = self._inbox.accept(received)
        if acknowledge:
            ack = message.encode_ack(received, int(self._wall_ms_at_zero + now * 1000))
            add = self._acks.add_again if known else self._acks.add
            add(received.sequence, ack, now)
        if self.paused_at is not None and not known:
            self.paused_at = now
        for content in contents:
            if content.payload_type == PayloadType.OUTPUT:
                if self.state is State.HANDSHAKE and self._negotiation.may_be_skipped:
                    self._opened(_NO_HANDSHAKE, now)
                self._on_data(content.payload)
            else:
                self._on_control(content, now)

    def _on_data(self, payload: bytes) -> None:
        if self.state is State.CLOSED:
            return
        self._quiet = False
        self._outbox.target_spoke()
        if self._negotiation.cipher is not None:
            try:
                payload = self._negotiation.cipher.decrypt(payload)
            except ValueError as error:
                self._close(str(error))
                return
        if payload:
            self.progress += 1
            self._received.append(payload)
            self.unread += len(payload) + PIECE_BYTES

    def _on_control(self, content: Content, now: float) -> None:
        if content == (PayloadType.FLAG, Flag.CONNECT_TO_PORT_ERROR.payload()):
            self._events.append(PortRefused())
        elif content.payload_type in _SHOWN:
            self._events.append(AgentText(content.payload.decode(errors="replace")))
        if self._quiet and content.payload_type == PayloadType.HANDSHAKE_REQUEST:
            self._quiet = False  # a slow agent that encrypts: it has ignored what we sent so far
            self.state = State.HANDSHAKE
        if self.state is not State.HANDSHAKE:
            return
        try:
            self._negotiate(content, now)
        except HandshakeError as error:
            self._close(str(error))

    def _negotiate(self, content: Content, now: float) -> None:
        if content.payload_type == PayloadType.HANDSHAKE_REQUEST:
            wanted = self._negotiation.on_request(content.payload)
            if isinstance(wanted, Encryption):
                self._events.append(KeyWanted(wanted))
            elif wanted is not None:
                self._answer(wanted)
        elif content.payload_type == PayloadType.ENC_CHALLENGE_REQUEST:
            proof = self._negotiation.on_challenge(content.payload)
            if proof is not None:
                self._outbox.put_control(PayloadType.ENC_CHALLENGE_RESPONSE, proof)
        elif content.payload_type == PayloadType.HANDSHAKE_COMPLETE:
            self._open(content.payload, now)

    def _answer(self, response: bytes) -> None:
        self._outbox.put_control(PayloadType.HANDSHAKE_RESPONSE, response)

    def _open(self, payload: bytes, now: float) -> None:
        request, complete = self._negotiation.on_complete(payload)
        if self._negotiation.cipher is not None:
            self._outbox.encrypt_with(self._negotiation.cipher.encrypt, OVERHEAD_BYTES)
        self._opened(
            Opened(request.agent_version, request.multiplexed, complete.customer_message), now
        )

    def _opened(self, event: Opened, now: float) -> None:
        self.state = State.OPEN
        self._outbox.handshake_complete(now)
        if self._negotiation.session_type == "Standard_Stream":
            self._outbox.put_control(PayloadType.SIZE, _TERMINAL)
        self._events.append(event)

    def _on_acknowledge(self, received: Message, now: float) -> None:
        sequence = message.decode_ack(received.payload)
        if sequence is None:
            self.malformed += 1
            return
        self._note_presence(now)
        self.progress += self._outbox.acknowledge(sequence, now)
        if self.state is State.FINISHING:
            self._terminate_when_drained()

    def _on_channel_closed(self, payload: bytes) -> None:
        self.confirmed = True
        reason = _closing_text(payload)
        if not reason and self.state is State.HANDSHAKE:
            reason = self.refusal or "the session was closed before its handshake was complete"
        if not reason and self._inbox.has_gap:
            reason = "the session was closed with a part of the stream missing"
        self._close(reason)

    def _unpause(self, now: float) -> None:
        self._note_presence(now)
        self._outbox.unpause(now)

    def _note_presence(self, now: float) -> None:
        """The agent is present again."""
        if self.paused_at is not None:
            self._note_possible_repeat(now)
        self.paused_at = None

    def _note_possible_repeat(self, now: float) -> None:
        if self._outbox.under_way and self.state is not State.HANDSHAKE:
            self.repeated_at = now
            self._outbox.note_possible_repeat(now)

    def _terminate_when_drained(self) -> None:
        if not self._outbox.empty:
            return
        request = self._negotiation.request
        if not self._terminating and request is not None and request.knows_terminate_flag:
            self._terminating = True
            self._outbox.put_control(PayloadType.FLAG, Flag.TERMINATE_SESSION.payload())
            return
        self.confirmed = self._terminating
        self._close("")

    def _close(self, reason: str) -> None:
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._events.append(Closed(reason))


def _texts(payload: bytes) -> list[str]:
    """The sentences in a JSON document: its strings with a space. Empty if it is not JSON."""
    try:
        values = read_document(payload).values()
    except HandshakeError:
        return []
    return [value for value in values if isinstance(value, str) and " " in value]


def _closing_text(payload: bytes) -> str:
    """The Output field of channel_closed; empty for a clean end."""
    if not payload:
        return ""
    try:
        return str(read_document(payload).get("Output") or "")
    except HandshakeError:
        return "the session was closed with a text that cannot be read"
