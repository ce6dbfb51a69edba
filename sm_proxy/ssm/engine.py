"""What all sessions have in common: websocket, channel, smux, resume and liveness put together.

A session does not block once it is open: the caller waits for `fileno`, then calls `advance`. Only
`open_with`, `close` and a request for a KMS key (rare) block, each within a bound. When a
connection is lost, the link resumes the session while the channel keeps the bytes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sm_proxy.ssm import smux, transport
from sm_proxy.ssm.api import Api, FinalError, Grant, Kind, Options, terminate_within_bound
from sm_proxy.ssm.channel import LARGE_REFUSED, Channel, State
from sm_proxy.ssm.dial_failure import CRASHED, dial_failure, found_in
from sm_proxy.ssm.encryption import DataKeyCipher
from sm_proxy.ssm.events import AgentText, Event, KeyWanted, Opened, PortRefused
from sm_proxy.ssm.incoming import READ_LIMIT, Demultiplexer
from sm_proxy.ssm.link import Link
from sm_proxy.ssm.transport import DisconnectedError, UnreachableError, WebSocket

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
_NEVER: Final = float("inf")
_T = TypeVar("_T")


class Engine:
    """A session without a say in what its streams are: see the classes below and in `shared`."""

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
        self._incoming = Demultiplexer()
        # A shell has no dial that may fail: its output is never the agent's text about that.
        self._target_spoke = options.session_type != "Port"
        self._agent_text = ""
        self._opened = False
        self._finishing = False
        self._open_until = now + HANDSHAKE_DEADLINE_S
        self._quiet_until = now + QUIET_SHELL_S if self._target_spoke else _NEVER
        self._failure: Exception | None = None
        self._key_failure: Exception | None = None

    def fileno(self) -> int:
        """The descriptor to wait for; it changes when a lost connection is resumed."""
        return self._link.fileno()

    @property
    def opened(self) -> bool:
        """Whether the handshake is complete."""
        return self._opened

    @property
    def ended(self) -> bool:
        """Whether no more bytes will arrive, for any stream."""
        return self._channel.state is State.CLOSED or self._failure is not None

    @property
    def failure(self) -> Exception | None:
        """Why the session failed; None after a clean end."""
        return self._failure

    @property
    def multiplexed(self) -> bool:
        """Whether it can carry more than one stream; False before `opened`."""
        return self._incoming.multiplexed

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
    def wants_read(self) -> bool:
        """Whether to wait for the descriptor to be readable."""
        return self._may_read and (self._finishing or not self._link.gathering)

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
            self._incoming.held_until,
        )
        return max(now, min(due, self._channel.deadline) if self._link.can_send else due)

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
            if self._link.cause is not None and self._channel.probing:
                # It broke at the first large message, and no second try can show whether that was
                # the cause.
                self._fail("large", f"{LARGE_REFUSED}; {self._link.given_up}")
            self._failure = self._failure or self._link.cause
            self._fail("lost", self._link.given_up)
        self._check_silence(now)

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
    def _unread(self) -> int:
        return self._channel.unread + self._incoming.unread

    @property
    def _full(self) -> bool:
        """Whether so many bytes wait to be read that no more may arrive."""
        return self._unread >= RECEIVED_LIMIT

    @property
    def _may_read(self) -> bool:
        return not self._full and not self._flooded

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
        readable = self._link.gathered(now) or readable or websocket.readable_now
        if readable and self.wants_read:
            self._take(self._link.receive(websocket, now), now)
            self._handle_events()
        self._link.keep_alive(websocket, now, deaf=self._full)
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
        self._distribute()

    def _distribute(self) -> None:
        """Give each stream its bytes."""
        while data := self._channel.read(READ_LIMIT):
            if not self._target_spoke and (found := found_in(data)):
                self._fail(*found)
                return
            try:
                self._incoming.feed(data)
            except smux.SmuxError as error:
                if not self.ended:
                    self._fail("lost", str(error))
                return
            self._target_spoke = self._target_spoke or self._incoming.spoke

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._on_opened(event)
        elif isinstance(event, KeyWanted):
            self._on_key_wanted(event)
        elif isinstance(event, PortRefused):
            self._on_refused(f"{self._agent} could not connect to the target port")
        elif isinstance(event, AgentText):
            self._on_agent_text(event.text)
        elif event.reason == LARGE_REFUSED:
            self._fail("large", event.reason)
        elif not self._finishing and (reason := event.reason or self._last_text):
            crashed = CRASHED in reason and self._opened and not self._incoming.multiplexed
            crashed = crashed and self._silent
            self._fail(dial_failure(reason) or ("refused" if crashed else "closed"), reason)

    def _on_opened(self, event: Opened) -> None:
        self._opened = True
        if event.multiplexed:
            self._incoming.multiplexed = True
            self._channel.frame_with(smux.data_frame, smux.HEADER_BYTES)
            self._on_multiplexed()
        if event.customer_message:
            self._options.on_status(event.customer_message)

    def _on_multiplexed(self) -> None:
        """Open the streams that were asked for."""
        self._channel.write_whole(smux.open_stream())

    def _on_refused(self, reason: str) -> None:
        """The dial of one of the streams has failed; the agent does not say which."""
        self._fail("refused", reason)

    def _on_agent_text(self, text: str) -> None:
        """Look for a failed dial, unless bytes of the target show that the dial succeeded."""
        if not self._silent:
            return
        self._agent_text = text
        if kind := dial_failure(text):
            self._fail(kind, text)

    @property
    def _last_text(self) -> str:
        """The agent's text before an end without a reason; empty if the target sent anything."""
        return self._agent_text if self._silent else ""

    @property
    def _silent(self) -> bool:
        """Whether no target has sent anything, so that a dial may have failed."""
        return not self._target_spoke and not self._channel.unread

    def suspicion_of(self, repeated_at: float | None) -> Exception | None:
        """A possible cause of a clean end; see `is_recent`."""
        if not self.is_recent(repeated_at):
            return None
        words = f"{self._agent} was cut off and may have written data twice"
        return self._options.failure("doubled", words)

    def is_recent(self, repeated_at: float | None) -> bool:
        """Whether the target may have got some bytes twice in the last seconds."""
        return repeated_at is not None and time.monotonic() - repeated_at < _DOUBLED_WITHIN_S

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
            while self._may_read and self._link.websocket is not None:
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


def open_with(
    make: Callable[[Api, Grant, WebSocket, Options], _T], api: Api, options: Options, grant: Grant
) -> _T:
    """Open the websocket of a granted session. The handshake happens in calls of `advance`.

    Raises:
        Exception: `options.failure` of `unopened` or `lost`: the websocket cannot be opened, or
            the service refuses it. The session is terminated.
    """
    try:
        websocket = transport.connect_with_retries(grant.stream_url, options.network)
        return make(api, grant, websocket, options)
    except DisconnectedError as error:
        terminate_within_bound(api, grant.session_id)
        kind: Kind = "unopened" if isinstance(error, UnreachableError) else "lost"
        raise options.failure(kind, f"the data channel cannot be opened: {error}") from None
    except BaseException:
        terminate_within_bound(api, grant.session_id)
        raise
