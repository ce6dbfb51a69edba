"""The sending half of the channel: queue, split, number, pace, and keep until acknowledged.

The protocol acknowledges each message by itself and has no window. So this side bounds the
unacknowledged data and lets the caller stop reading its source. The reference client drops its
oldest message instead (P: datachannel/streaming.go:796-803).

Payload sizes: every agent accepts 1,024 bytes. One larger message is sent first, with nothing
behind it. Once its ack arrives, all messages may be that large. A message that was sent keeps its
number and its bytes.

An agent whose connection breaks may write a message to its target twice. So with smux each message
holds one whole frame: the target then gets some bytes twice, and notices. The agent's smux would
hang instead at a part of a frame that came twice, and so would the connection (measured).

Streams that share the channel take turns, message by message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from sm_proxy.ssm import message
from sm_proxy.ssm.flight import Flight
from sm_proxy.ssm.lane import QUEUE_BYTES, Lane
from sm_proxy.ssm.message import PayloadType
from sm_proxy.ssm.timing import MESSAGES_PER_S, Pace

SAFE_PAYLOAD: Final = 1024
"""The size that the reference client sends (P: config/config.go:27): every agent accepts it."""
LARGE_PAYLOAD: Final = 32768
"""The largest that is known to pass the live service (facts: field reports)."""
WINDOW_BYTES: Final = 4 << 20
WINDOW_MESSAGES: Final = 4096
PROBE_DEADLINE_S: Final = 20.0
SETTLE_S: Final = 0.025
"""Wait before the first data. An agent sends HandshakeComplete, and only then records that the
handshake is complete. Between the two it acknowledges data and throws it away
(A: datachannel.go:839-843,1005-1008). On loopback with two busy cores, 10 of 260 sessions lost
their first bytes. The round trip is not subtracted: a busy agent makes it longer as well."""
PROBE_CUTS: Final = 2
"""Give a large message up after so many connections broke before its ack."""
_NEVER: Final = float("inf")


__all__ = ["QUEUE_BYTES", "LargeMessageRefusedError", "Outbox"]


class LargeMessageRefusedError(Exception):
    """A message above 1,024 bytes got no acknowledgement: this target accepts small ones only."""


class Outbox:
    """Everything that goes to the agent, from the caller's bytes to the last acknowledgement.

    Attributes:
        first: the queue of the first stream, or of the only one.
    """

    def __init__(
        self,
        now: float,
        wall_ms: int,
        payload_limit: int = LARGE_PAYLOAD,
        messages_per_s: float = MESSAGES_PER_S,
    ) -> None:
        self.first = Lane()
        self._paused = False
        self._wall_ms_at_zero = wall_ms - now * 1000
        self._goal = payload_limit
        self._limit = min(SAFE_PAYLOAD, payload_limit)
        self._waiting: deque[Lane] = deque()
        self._carried: dict[int, Lane] = {}
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
        """How many bytes `put` accepts now for the first stream."""
        return self.first.room

    @property
    def empty(self) -> bool:
        """Whether everything queued so far has been acknowledged."""
        return not (self._waiting or self._controls or self._flight)

    @property
    def under_way(self) -> bool:
        """Whether some sent message has no ack yet."""
        return bool(self._flight)

    @property
    def probing(self) -> bool:
        """Whether the first large message has no ack yet."""
        return self._probe is not None

    def note_possible_repeat(self, now: float) -> None:
        """The agent may write to its targets twice whatever has no ack yet."""
        for lane in set(self._carried.values()):
            lane.repeated_at = now

    def put(self, data: bytes, lane: Lane | None = None) -> None:
        """Queue bytes of a stream, by default the first."""
        if data:
            self._queued(lane).put(data)

    def put_whole(self, data: bytes, lane: Lane | None = None) -> None:
        """Queue bytes that are a message of their own, behind the queued bytes of the stream."""
        self._queued(lane).put_whole(data)

    def drop(self, lane: Lane) -> None:
        """Drop what waits to be sent in a lane."""
        if lane.waiting:
            self._waiting.remove(lane)
        lane.clear()

    def put_control(self, payload_type: PayloadType, payload: bytes) -> None:
        """Queue a handshake answer or a flag: a message of its own, before queued bytes."""
        self._controls.append((payload_type, payload))

    def encrypt_with(self, encrypt: Callable[[bytes], bytes], overhead: int) -> None:
        """Encrypt stream data from now on; a message grows by `overhead` bytes."""
        self._encrypt = encrypt
        self._limit -= overhead
        self._goal -= overhead

    def frame_with(self, frame: Callable[[bytes], bytes], overhead: int) -> None:
        """Put the first stream's bytes into frames from now on, one for each message.

        The lanes of further streams have frames of their own, of the same `overhead`.
        """
        self.first.frame = frame
        self._limit -= overhead
        self._goal -= overhead

    def pause(self) -> None:
        """The agent is away: send one message a second to find out when it is back."""
        self._paused = True

    def unpause(self, now: float) -> None:
        """The agent is back."""
        if self._paused:
            self._paused = False
            self._probe_since = now
            self._flight.look_again()

    def acknowledge(self, sequence: int, now: float) -> bool:
        """Process an ack; False if its number is unknown or was acknowledged before."""
        self.unpause(now)
        known = self._flight.acknowledge(sequence, now)
        if known:
            self._carried.pop(sequence).in_flight -= 1
        if known and sequence == self._probe:
            self._limit = self._goal
            self._probe = None
        return known

    def handshake_complete(self, now: float) -> None:
        """The handshake is complete: send the next message after `SETTLE_S`."""
        self._flight.handshake_answered(now)
        self._quiet_until = now + SETTLE_S

    def target_spoke(self) -> None:
        """The agent forwards the target's bytes, so its handshake is complete: stop waiting."""
        self._quiet_until = -_NEVER

    def reconnected(self, now: float) -> None:
        """Send everything unacknowledged again on a new connection, oldest first.

        Raises:
            LargeMessageRefusedError: `PROBE_CUTS` connections broke before its ack.
        """
        self.unpause(now)
        self._flight.all_lost(now)
        if self._probe is not None:
            self._probe_cuts += 1
            self._probe_since = now
            if self._probe_cuts >= PROBE_CUTS:
                raise LargeMessageRefusedError

    def frames(self, now: float, budget: int) -> list[bytes]:
        """The frames to write now, at most about `budget` bytes.

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
        """When to call `frames` if nothing arrives; infinity for never."""
        again = max(self._flight.deadline, self._pace.next_at)
        fresh = max(self._quiet_until, self._pace.next_at) if self._sendable else _NEVER
        controls = self._quiet_until if self._controls else _NEVER
        return min(self._probe_deadline, again, fresh, controls)

    @property
    def _probe_deadline(self) -> float:
        if self._probe is None or self._paused:
            return _NEVER
        # After a reconnection older messages go first: the large one may still wait behind them.
        return max(self._probe_since, self._flight.last_progress) + PROBE_DEADLINE_S

    @property
    def _sendable(self) -> bool:
        """Whether new data may be sent, as far as the pace allows.

        In a pause with nothing in flight, one message is sent to find out whether it lasts.
        """
        return (
            bool(self._waiting)
            and self._probe is None
            and not (self._paused and self._flight)
            and self._flight.span_bytes < WINDOW_BYTES
            and self._flight.span_messages < WINDOW_MESSAGES
        )

    def _may_start(self, now: float) -> bool:
        return now >= self._quiet_until and self._sendable

    def _queued(self, lane: Lane | None) -> Lane:
        """The lane, in its place in the queue."""
        lane = self.first if lane is None else lane
        if not lane.waiting:
            self._waiting.append(lane)
        return lane

    def _next_chunk(self, now: float) -> bytes:
        lane = self._waiting.popleft()
        size = self._limit
        if size < self._goal and lane.fills(self._goal):
            size = self._goal
            self._probe, self._probe_since, self._probe_cuts = self._flight.next_sequence, now, 0
        data = lane.take(size)
        if lane.waiting:
            self._waiting.append(lane)
        payload = self._encrypt(data) if self._encrypt else data
        return self._number(PayloadType.OUTPUT, payload, now, lane)

    def _number(
        self, payload_type: PayloadType, payload: bytes, now: float, lane: Lane | None = None
    ) -> bytes:
        created_ms = int(self._wall_ms_at_zero + now * 1000)
        sequence = self._flight.next_sequence
        frame = message.encode_input(sequence, payload_type, payload, created_ms)
        is_data = payload_type is PayloadType.OUTPUT
        self._flight.add(frame, len(payload), now, is_data=is_data)
        carried = self._carried[sequence] = self.first if lane is None else lane
        carried.in_flight += 1
        return frame
