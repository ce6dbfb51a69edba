"""One SSM session as one byte stream: websocket, channel, smux, resume and liveness put together.

A session does not block once it is open: the caller waits for `fileno`, then calls `advance`. Only
`start`, `close` and a request for a KMS key (rare) block, each within a bound. When a connection is
lost, the link resumes the session while the channel keeps the bytes.
"""

from __future__ import annotations

import contextlib
import time
from typing import Final

from sm_proxy.ssm import channel as channel_module
from sm_proxy.ssm import smux, transport
from sm_proxy.ssm.api import (
    TERMINATE_DEADLINE_S,
    Api,
    FinalError,
    Grant,
    Kind,
    Options,
    SessionEndedError,
    terminate_within_bound,
)
from sm_proxy.ssm.channel import Channel, State
from sm_proxy.ssm.dial_failure import dial_failure
from sm_proxy.ssm.encryption import DataKeyCipher
from sm_proxy.ssm.events import AgentText, Event, KeyWanted, Opened, PortRefused
from sm_proxy.ssm.held_back import HeldBack
from sm_proxy.ssm.link import Link
from sm_proxy.ssm.transport import DisconnectedError, UnreachableError, WebSocket

__all__ = [
    "TERMINATE_DEADLINE_S",
    "Api",
    "FinalError",
    "Grant",
    "Kind",
    "Options",
    "Session",
    "SessionEndedError",
    "start",
    "terminate_within_bound",
]

HANDSHAKE_DEADLINE_S: Final = 12.0
"""Real agents begin within 2 s (their worker has to start) and give up 15 s after their request. VS
Code gives ssh 15 s in all, of which 2 s pass before this: so our error is printed in time."""
QUIET_SHELL_S: Final = 5.0
"""A shell without a prompt says nothing until we type. Agents that shake hands begin within 2 s."""
PAUSE_DEADLINE_S: Final = 120.0
RECEIVED_LIMIT: Final = 1 << 20
UNSENT_LIMIT: Final = 4 << 20
"""Stop reading from a peer that does not read, once so many bytes wait to be sent to it."""
SEND_BUDGET: Final = 128 << 10
_ACK_BYTES: Final = 320
_DOUBLED_WITHIN_S: Final = 10.0
"""A target that got some bytes twice ends within this time: the MAC of the next packet is wrong."""
_CRASHED: Final = "document process failed unexpectedly"
"""The service's text when an agent crashes because its dial failed, without smux (measured with
3.3.1230; A: session/plugins/port/port_basic.go:112-116)."""
_NEVER: Final = float("inf")


class Session:
    """A byte stream to a port behind an SSM agent."""

    def __init__(self, api: Api, grant: Grant, websocket: WebSocket, options: Options) -> None:
        now = time.monotonic()
        self._api = api
        self._session_id = grant.session_id
        self._options = options
        self._channel = Channel(
            now,
            int(time.time() * 1000),
            options.payload_limit,
            options.messages_per_s,
            options.session_type,
        )
        self._link = Link(api, grant, websocket, options.network, now)
        self._smux: smux.Reader | None = None
        self._held_back = HeldBack()
        # A shell has no dial that may fail: its output is never the agent's text about that.
        self._target_spoke = options.session_type != "Port"
        self._agent_text = ""
        self._opened = False
        self._finishing = False
        self._open_until = now + HANDSHAKE_DEADLINE_S
        self._quiet_until = now + QUIET_SHELL_S if self._target_spoke else _NEVER
        self._failure: Exception | None = None
        self._key_failure: Exception | None = None

    # the stream that the pump reads and writes

    def fileno(self) -> int:
        """The descriptor to wait for; it changes when a lost connection is resumed."""
        return self._link.fileno()

    @property
    def opened(self) -> bool:
        """Whether the handshake is complete."""
        return self._opened

    @property
    def ended(self) -> bool:
        """Whether no more bytes will arrive. `read` may still return earlier ones."""
        stream_ended = self._smux is not None and self._smux.ended
        return stream_ended or self._channel.state is State.CLOSED or self._failure is not None

    @property
    def failure(self) -> Exception | None:
        """Why the session failed; None after a clean end."""
        return self._failure

    @property
    def suspicion(self) -> Exception | None:
        """A possible cause of a clean end, if the target ended the session; else None."""
        if not self._repeated_recently:
            return None
        words = f"{self._agent} was cut off and may have written data twice"
        return self._options.failure("doubled", words)

    @property
    def through(self) -> str:
        """The target whose agent forwards the bytes."""
        return self._options.target

    @property
    def _agent(self) -> str:
        return f"the agent of {self._options.target}" if self._options.target else "the agent"

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self._session_id

    @property
    def resumes(self) -> int:
        """How often a lost connection was resumed."""
        return self._link.resumes

    @property
    def delivered(self) -> bool:
        """Whether everything written has been acknowledged."""
        return self._channel.delivered

    @property
    def room(self) -> int:
        """How many bytes `write` accepts now."""
        return self._channel.room if self._opened and not self.ended else 0

    @property
    def wants_read(self) -> bool:
        """Whether to wait for the descriptor to be readable."""
        return self._channel.unread < RECEIVED_LIMIT and not self._flooded

    @property
    def wants_write(self) -> bool:
        """Whether to wait for the descriptor to be writable."""
        return self._link.unsent_bytes > 0

    def deadline(self, now: float) -> float:
        """When to call `advance` if nothing is ready."""
        if self._failure is not None:
            return _NEVER
        due = min(
            self._link.deadline(listening=self.wants_read),
            self._silence_deadline,
            self._quiet_until,
            self._held_back.until,
        )
        return max(now, min(due, self._channel.deadline) if self._link.can_send else due)

    def write(self, data: bytes) -> None:
        """Queue bytes for the target; at most `room`."""
        self._channel.write(data)

    def read(self) -> bytes:
        """The target's bytes since the last call, at most about a megabyte."""
        while data := self._channel.read(RECEIVED_LIMIT):
            if not self._target_spoke and self._is_dial_failure(data):
                return b""
            try:
                stream = self._smux.feed(data) if self._smux is not None else data
            except smux.SmuxError as error:
                self._fail("lost", str(error))
                return b""
            if stream:
                self._target_spoke = True
                return self._held_back.passed(stream, time.monotonic(), hold=self._held)
        return self._held_back.passed(b"", time.monotonic(), hold=self._held)

    def advance(self, now: float, *, readable: bool) -> None:
        """Do all work that is possible without waiting."""
        if self._failure is not None:
            return
        try:
            if self._link.take_up(now):
                self._channel.reconnected(now)
                readable = False  # the resumption's descriptor was readable, not the websocket
            if now >= self._quiet_until:
                self._quiet_until = _NEVER
                self._channel.open_quiet(now)
                self._handle_events()
            if self._link.websocket is not None:
                self._exchange(self._link.websocket, now, readable=readable)
        except DisconnectedError as error:
            self._drain(now)
            self._link.broke(now, str(error), resume=not self.ended)
        if self._link.given_up and self._failure is None:
            self._failure = self._link.cause
            self._fail("lost", self._link.given_up)
        self._check_silence(now)

    def finish(self) -> None:
        """Deliver what is queued, then end the session. Call `advance` until `finished`."""
        self._finishing = True
        if self._smux is not None and self._channel.state is State.OPEN:
            self._channel.write_whole(smux.close_stream())
        self._channel.finish()

    @property
    def finished(self) -> bool:
        """Whether both ends know that the session is over."""
        return self._channel.state is State.CLOSED and self._channel.confirmed

    def close(self) -> None:
        """Close the connection. If the session may still be open, call TerminateSession.

        Takes at most two seconds.
        """
        self._link.close()
        if self._channel.confirmed:
            self._options.over(self._session_id)
        else:
            terminate_within_bound(self._api, self._session_id)

    # internal

    @property
    def _flooded(self) -> bool:
        waiting = self._link.unsent_bytes + self._channel.unsent_acks * _ACK_BYTES
        return waiting > UNSENT_LIMIT

    @property
    def _silence_deadline(self) -> float:
        """Until when the agent may be silent. After that the session fails."""
        if self.ended:
            return _NEVER
        if not self._opened:
            return self._open_until
        paused_at = self._channel.paused_at
        return _NEVER if paused_at is None else paused_at + PAUSE_DEADLINE_S

    def _exchange(self, websocket: WebSocket, now: float, *, readable: bool) -> None:
        if (readable or websocket.readable_now) and self.wants_read:
            self._take(self._link.receive(websocket, now), now)
            self._handle_events()
        self._link.keep_alive(websocket, now, deaf=self._channel.unread >= RECEIVED_LIMIT)
        self._send(websocket, now)

    def _take(self, frames: list[bytes], now: float) -> None:
        before = self._channel.progress
        for frame in frames:
            self._channel.receive(frame, now)
        if self._channel.progress > before:
            self._link.note_progress()

    def _handle_events(self) -> None:
        for event in self._channel.events():
            self._on_event(event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._on_opened(event)
        elif isinstance(event, KeyWanted):
            self._on_key_wanted(event)
        elif isinstance(event, PortRefused):
            self._fail("refused", f"{self._agent} could not connect to the target port")
        elif isinstance(event, AgentText):
            self._on_agent_text(event.text)
        elif event.reason == channel_module.LARGE_REFUSED:
            self._fail("large", event.reason)
        elif not self._finishing and (reason := event.reason or self._last_agent_text):
            crashed = _CRASHED in reason and self._opened and self._only_dial_pending
            self._fail(dial_failure(reason) or ("refused" if crashed else "closed"), reason)

    def _on_opened(self, event: Opened) -> None:
        self._opened = True
        if event.multiplexed:
            self._smux = smux.Reader()
            self._channel.write_whole(smux.open_stream())
            self._channel.frame_with(smux.data_frame, smux.HEADER_BYTES)
        if event.customer_message:
            self._options.on_status(event.customer_message)

    def _on_agent_text(self, text: str) -> None:
        """Look for a failed dial, unless bytes of the target show that the dial succeeded."""
        if self._target_spoke or self._channel.unread:
            return
        self._agent_text = text
        if kind := dial_failure(text):
            self._fail(kind, text)

    @property
    def _only_dial_pending(self) -> bool:
        """Whether the only thing that can still fail is the agent's dial (without smux)."""
        return self._smux is None and not self._target_spoke and not self._channel.unread

    @property
    def _last_agent_text(self) -> str:
        """The agent's text before an end without a reason; empty if the target sent anything."""
        return "" if self._target_spoke or self._channel.unread else self._agent_text

    @property
    def _repeated_recently(self) -> bool:
        """Whether the target may have got some bytes twice in the last seconds."""
        since = self._channel.repeated_at
        return since is not None and time.monotonic() - since < _DOUBLED_WITHIN_S

    @property
    def _held(self) -> bool:
        return self._repeated_recently and not (self.ended or self._finishing)

    def _is_dial_failure(self, data: bytes) -> bool:
        """Whether the data is the agent's text about its failed dial, not the target's bytes."""
        text = data.decode(errors="replace").strip()
        if data.startswith(b"SSH-") or not text.isprintable():
            return False
        if kind := dial_failure(text):
            self._fail(kind, text)
        return kind is not None

    def _on_key_wanted(self, event: KeyWanted) -> None:
        wanted = event.encryption
        try:
            ciphertext, plaintext = self._api.data_key(
                wanted.key_id, self._session_id, wanted.challenge
            )
            self._channel.provide_key(ciphertext, DataKeyCipher(plaintext))
        except Exception as error:  # noqa: BLE001 - whatever the API's library raises
            self._key_failure = error.cause if isinstance(error, FinalError) else None
            self._channel.refuse_key(f"the KMS key {wanted.key_id} cannot be used: {error}")

    def _send(self, websocket: WebSocket, now: float) -> None:
        websocket.flush()
        while not websocket.unsent:
            frames = self._channel.frames(now, SEND_BUDGET)
            self._handle_events()
            if not frames:
                return
            websocket.send_frames(frames)
            websocket.flush()

    def _drain(self, now: float) -> None:
        """Read what arrived before the end: a failed write must not hide a channel_closed."""
        with contextlib.suppress(DisconnectedError):
            while self.wants_read and self._link.websocket is not None:
                messages = self._link.websocket.receive()
                if not messages:
                    break
                self._take(messages, now)
        self._handle_events()

    def _check_silence(self, now: float) -> None:
        if self._failure is not None or now < self._silence_deadline:
            return
        if self._opened:
            self._fail("unreachable", f"the service says that {self._agent} is away")
        else:
            reason = self._channel.refusal or f"{self._agent} did not answer the session"
            self._fail("unreachable", reason)

    def _fail(self, kind: Kind, reason: str) -> None:
        if self._failure is None:
            self._failure = self._key_failure or self._options.failure(kind, reason)


def start(api: Api, options: Options, grant: Grant) -> Session:
    """Open the websocket of a granted session. The handshake happens in calls of `advance`.

    Raises:
        Exception: `options.failure` of `unopened` or `lost`: the websocket cannot be opened, or
            the service refuses it. The session is terminated.
    """
    try:
        websocket = transport.connect_with_retries(grant.stream_url, options.network)
        return Session(api, grant, websocket, options)
    except DisconnectedError as error:
        terminate_within_bound(api, grant.session_id)
        kind: Kind = "unopened" if isinstance(error, UnreachableError) else "lost"
        raise options.failure(kind, f"the data channel cannot be opened: {error}") from None
    except BaseException:
        terminate_within_bound(api, grant.session_id)
        raise
