"""The sending half of the channel: queue, cut, number, pace, and keep until acknowledged.

The protocol acknowledges every message on its own and has no window. So this side bounds what is
unacknowledged and lets the caller stop reading its source, where the reference client drops its
oldest message (P: datachannel/streaming.go:796-803).

Sizes: every agent takes 1,024 bytes. A larger message is first tried alone, with nothing behind
it, and used once its ack came; a sequence number that was sent is never cut anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sm_proxy.ssm import message
from sm_proxy.ssm.flight import Flight
from sm_proxy.ssm.message import PayloadType
from sm_proxy.ssm.timing import MESSAGES_PER_S, Pace

SAFE_PAYLOAD: Final = 1024
"""What the reference client sends (P: config/config.go:27): every agent takes it."""
LARGE_PAYLOAD: Final = 32768
"""The largest that is known to pass the live service (facts: field reports)."""
WINDOW_BYTES: Final = 4 << 20
WINDOW_MESSAGES: Final = 4096
QUEUE_BYTES: Final = 256 << 10
PROBE_DEADLINE_S: Final = 20.0
SETTLE_S: Final = 0.025
"""An agent acknowledges and throws away what reaches it between its HandshakeComplete and its own
note of having sent that (A: datachannel.go:839-843,1005-1008). The gap is a goroutine's wait for a
processor: on loopback and two busy cores 10 of 260 sessions lost their first bytes to it. A round
trip is not taken off, for a busy agent makes that long, too."""
PROBE_CUTS: Final = 2
"""So many lost connections with the same large message unacknowledged condemn its size."""
_NEVER: Final = float("inf")


class LargeMessageRefusedError(Exception):
    """A message above 1,024 bytes got no acknowledgement: this target takes small ones only."""


class Outbox:
    """Everything that goes to the agent, from the caller's bytes to the last acknowledgement."""

    def __init__(
        self,
        now: float,
        wall_ms: int,
        payload_limit: int = LARGE_PAYLOAD,
        messages_per_s: float = MESSAGES_PER_S,
    ) -> None:
        self._paused = False
        self._wall_ms_at_zero = wall_ms - now * 1000
        self._goal = payload_limit
        self._limit = min(SAFE_PAYLOAD, payload_limit)
        self._queue = bytearray()
        self._controls: list[tuple[PayloadType, bytes]] = []
        self._flight = Flight()
        self._probe: int | None = None
        self._probe_since = 0.0
        self._probe_cuts = 0
        self._pace = Pace(messages_per_s)
        self._encrypt: Callable[[bytes], bytes] | None = None
        self._quiet_until = -_NEVER

    @property
    def room(self) -> int:
        """How many bytes the caller may hand over now."""
        return max(0, QUEUE_BYTES - len(self._queue))

    @property
    def empty(self) -> bool:
        """Everything handed over has been acknowledged."""
        return not (self._queue or self._controls or self._flight)

    @property
    def under_way(self) -> bool:
        """Something was sent that no ack has come for."""
        return bool(self._flight)

    def put(self, data: bytes) -> None:
        """Queue bytes of the stream."""
        self._queue += data

    def put_control(self, payload_type: PayloadType, payload: bytes) -> None:
        """Queue a handshake answer or a flag: a message of its own, before queued bytes."""
        self._controls.append((payload_type, payload))

    def encrypt_with(self, encrypt: Callable[[bytes], bytes], overhead: int) -> None:
        """From now on encrypt stream data, which grows by `overhead` bytes a message."""
        self._encrypt = encrypt
        self._limit -= overhead
        self._goal -= overhead

    def pause(self) -> None:
        """The agent is away: try with one message a second."""
        self._paused = True

    def unpause(self, now: float) -> None:
        """The agent is back."""
        if self._paused:
            self._paused = False
            self._probe_since = now
            self._flight.look_again()

    def acknowledge(self, sequence: int, now: float) -> bool:
        """An ack arrived; False, and a no-op, if it is for an unknown number or not the first."""
        self.unpause(now)
        known = self._flight.acknowledge(sequence, now)
        if known and sequence == self._probe:
            self._limit = self._goal
            self._probe = None
        return known

    def handshake_complete(self, now: float) -> None:
        """The agent says so: our next message may go when it has noted that itself."""
        self._flight.handshake_answered(now)
        self._quiet_until = now + SETTLE_S

    def target_spoke(self) -> None:
        """The agent passes the target's bytes on: it is past its handshake for sure."""
        self._quiet_until = -_NEVER

    def reconnected(self, now: float) -> None:
        """On a new connection everything unacknowledged is sent again, oldest first.

        Raises:
            LargeMessageRefusedError: the same large message was cut off repeatedly.
        """
        self.unpause(now)
        self._flight.all_lost(now)
        if self._probe is not None:
            self._probe_cuts += 1
            self._probe_since = now
            if self._probe_cuts >= PROBE_CUTS:
                raise LargeMessageRefusedError

    def frames(self, now: float, budget: int) -> list[bytes]:
        """What shall be written now, at most about `budget` bytes.

        Raises:
            LargeMessageRefusedError: the first large message got no ack in time.
        """
        if now >= self._probe_deadline:
            raise LargeMessageRefusedError
        out: list[bytes] = []
        if now >= self._quiet_until:
            out += [self._number(kind, payload, now) for kind, payload in self._controls]
            self._controls.clear()
        if now >= self._flight.deadline:
            again = self._flight.resend(now, budget, paused=self._paused, may_send=self._pace.take)
            budget -= sum(map(len, again))
            out += again
        while budget > 0 and self._may_start(now) and self._pace.take(now):
            frame = self._next_chunk(now)
            budget -= len(frame)
            out.append(frame)
        return out

    @property
    def deadline(self) -> float:
        """When `frames` has something to do although nothing arrives; infinity for never."""
        again = max(self._flight.deadline, self._pace.next_at)
        fresh = max(self._quiet_until, self._pace.next_at) if self._sendable else _NEVER
        controls = self._quiet_until if self._controls else _NEVER
        return min(self._probe_deadline, again, fresh, controls)

    @property
    def _probe_deadline(self) -> float:
        if self._probe is None or self._paused:
            return _NEVER
        # While older messages still find their way after a break, it may not have had its turn.
        return max(self._probe_since, self._flight.last_progress) + PROBE_DEADLINE_S

    @property
    def _sendable(self) -> bool:
        """Whether new data may be sent, but for the pace.

        In a pause with nothing on its way, one message is sent to find out whether it lasts.
        """
        return (
            bool(self._queue)
            and self._probe is None
            and not (self._paused and self._flight)
            and self._flight.span_bytes < WINDOW_BYTES
            and self._flight.span_messages < WINDOW_MESSAGES
        )

    def _may_start(self, now: float) -> bool:
        return now >= self._quiet_until and self._sendable

    def _next_chunk(self, now: float) -> bytes:
        size = self._limit
        if size < self._goal <= len(self._queue):
            size = self._goal
            self._probe, self._probe_since, self._probe_cuts = self._flight.next_sequence, now, 0
        chunk = bytes(memoryview(self._queue)[:size])
        del self._queue[: len(chunk)]
        payload = self._encrypt(chunk) if self._encrypt else chunk
        return self._number(PayloadType.OUTPUT, payload, now)

    def _number(self, payload_type: PayloadType, payload: bytes, now: float) -> bytes:
        created_ms = int(self._wall_ms_at_zero + now * 1000)
        sequence = self._flight.next_sequence
        frame = message.encode_input(sequence, payload_type, payload, created_ms)
        is_data = payload_type is PayloadType.OUTPUT
        self._flight.add(frame, len(payload), now, is_data=is_data)
        return frame
