"""Client, network and agent in simulated time: which faults may happen, and which results may not.

The world drives a real Channel against the model of the agent, and checks its promises at every
step. `conclude` ends all faults, and checks that both byte streams have arrived or that the channel
has given a reason.
"""

from __future__ import annotations

import heapq
import json
import random
from dataclasses import dataclass

from sm_proxy.ssm import smux
from sm_proxy.ssm.channel import Channel, State
from sm_proxy.ssm.encryption import DataKeyCipher
from sm_proxy.ssm.engine import PAUSE_DEADLINE_S
from sm_proxy.ssm.events import Closed, KeyWanted, Opened, PortRefused
from sm_proxy.ssm.outbox import QUEUE_BYTES, SETTLE_S, WINDOW_BYTES
from sm_proxy.ssm.timing import BURST, MESSAGES_PER_S
from tests.ssm import agent_wire as wire
from tests.ssm.agent_model import CIPHERTEXT_KEY, KEY, NEVER, Agent, Plan
from tests.ssm.one_stream import OneStream

BUDGET = 128 << 10
SLACK = 64 << 10
UP, DOWN = 0, 1


@dataclass
class Weather:
    """How the network behaves; probabilities per message, times in seconds."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    ack_loss: float = 0.0
    delay: float = 0.02
    large: str = "taken"
    """What the network does with messages above 1,024 bytes: taken, dropped, or cut."""


class World:
    """One session from its first frame to its end."""

    def __init__(self, plan: Plan, weather: Weather, seed: int, limit: int = 32768) -> None:
        self.now = 1000.0
        self.random = random.Random(seed)  # noqa: S311 - a reproducible schedule
        self.weather = weather
        self.plan = plan
        self.written = bytearray()
        self.spoken = bytearray()
        self.received = bytearray()
        self.reason: str | None = None
        self.refused = False
        self.opened = False
        self._settled_at = NEVER
        self._pending = bytearray()
        self._wire: list[tuple[float, int, int, int, bytes]] = []
        self._count = 0
        self._epochs = [0, 0]
        self._back_at = [0.0, 0.0]
        self._clock = [self.now, self.now]
        self._sent: dict[int, bytes] = {}
        self._unacked: dict[int, int] = {}
        self._unacked_bytes = 0
        self._data_times: list[float] = []
        self._reader: OneStream | None = None
        self._idle_turns = 0
        self.channel = Channel(self.now, 1_700_000_000_000, limit)
        self.agent = Agent(plan, self.now, self._from_agent)

    # what a schedule may do

    def write(self, data: bytes) -> None:
        """Queue bytes of the user, which wait for room in the channel as ssh's do."""
        if self._stream_over or self.channel.state not in {State.HANDSHAKE, State.OPEN}:
            return
        self.written += data
        self._pending += data
        self._turn()

    def keystroke(self) -> None:
        """Write one byte on an idle stream, and check that it is sent at once."""
        if self.channel.state is not State.OPEN or not self.opened or self._stream_over:
            return
        settled = self.now >= self._settled_at
        idle = settled and self.channel.delivered and not self._pending and self.up
        before = len(self._sent)
        self.write(b"\n")
        assert not idle or len(self._sent) == before + 1, "a keystroke was delayed"

    def speak(self, data: bytes) -> None:
        """Queue bytes of the target."""
        if not self.agent.source_ended and not self.agent.terminated and not self.plan.refuses:
            self.spoken += data
            self.agent.source += data

    def cut(self, side: int, outage: float) -> None:
        """Cut the websocket of the client (UP) or of the agent (DOWN) for a while."""
        self._epochs[side] += 1
        self._back_at[side] = self.now + outage

    def pause(self, side: int) -> None:
        """Let the service tell the client (DOWN) or the agent (UP) to pause."""
        if side == DOWN and self.up:
            self.channel.receive(wire.pause(), self.now)
        elif side == UP:
            self.agent.paused = True

    def start(self, side: int) -> None:
        if side == DOWN and self.up:
            self.channel.receive(wire.start(), self.now)
        elif side == UP:
            self.agent.paused = False

    def block(self, duration: float) -> None:
        """Let the target read nothing for a while, which blocks the agent's reader."""
        self.agent.blocked_until = self.now + duration

    def run(self, duration: float) -> None:
        """Let time pass."""
        until = self.now + duration
        while True:
            self._turn()
            moment = min(self._next_at, until)
            assert moment > self.now or self._next_at <= self.now or moment == until
            if moment >= until and self._next_at > until:
                self.now = until
                return
            self._idle_turns = self._idle_turns + 1 if moment <= self.now else 0
            assert self._idle_turns < 1000, "a busy loop"
            self.now = max(self.now, moment)

    def conclude(self, *, agent_ends: bool) -> None:
        """End all faults. Then both streams must arrive, or the channel must name a reason."""
        self.weather = Weather(delay=self.weather.delay, large=self.weather.large)
        self.agent.paused = False  # only an inbound message or the service ends that
        self._run_until(lambda: self.reason is not None or self._transferred, 400)
        if self.reason is None:
            self._end(agent_ends=agent_ends)
        self._check_streams()
        self._check_pace()

    # checks

    @property
    def _transferred(self) -> bool:
        return self.opened and (
            self.refused
            or (
                bytes(self.agent.target) == bytes(self.written)
                and bytes(self.received) == bytes(self.spoken)
                and self.channel.delivered
                and self.agent.settled
            )
        )

    def _end(self, *, agent_ends: bool) -> None:
        if agent_ends:
            self.agent.source_ended = True
            over = self._ended_by_agent
            self._run_until(lambda: over() or self.reason is not None, 60)
        if self._reader is not None and self.channel.state is State.OPEN:
            self.channel.write_whole(smux.close_stream())
        self.channel.finish()
        self._run_until(lambda: self.channel.state is State.CLOSED, 60)
        if self.reason == "":
            assert self.channel.confirmed

    def _ended_by_agent(self) -> bool:
        if self._reader is not None:
            return self._reader.ended
        return self.channel.state is State.CLOSED

    def _check_streams(self) -> None:
        assert bytes(self.written).startswith(bytes(self.agent.target))
        assert bytes(self.spoken).startswith(bytes(self.received))
        if self.reason or self.refused:
            return
        assert bytes(self.agent.target) == bytes(self.written)
        assert bytes(self.received) == bytes(self.spoken)

    def _check_pace(self) -> None:
        times = self._data_times
        allowed = BURST + int(MESSAGES_PER_S) + 1
        for index in range(len(times) - allowed):
            assert times[index + allowed] - times[index] > 1.0, "faster than the pace"

    def _run_until(self, condition: object, limit: float) -> None:
        assert callable(condition)
        until = self.now + limit
        while not condition():
            assert self.now < until, f"no progress: {self.channel.state}, {self.agent.settled=}"
            self.run(0.05)

    # the machinery

    @property
    def up(self) -> bool:
        """Whether the client's websocket is connected."""
        return self._back_at[UP] == 0

    @property
    def _stream_over(self) -> bool:
        return self._reader is not None and self._reader.ended

    @property
    def _next_at(self) -> float:
        moments = [self.agent.next_at]
        moments += [moment for moment in self._back_at if moment]
        if self.channel.paused_at is not None:
            moments.append(self.channel.paused_at + PAUSE_DEADLINE_S)
        if self._wire:
            moments.append(self._wire[0][0])
        if self.up:
            moments.append(self.channel.deadline)
        return min(moments, default=NEVER)

    def _turn(self) -> None:
        for side in (UP, DOWN):
            if self._back_at[side] and self.now >= self._back_at[side]:
                self._back_at[side] = 0
                if side == UP:
                    self.channel.reconnected(self.now)
        while self._wire and self._wire[0][0] <= self.now:
            _, _, direction, epochs, frame = heapq.heappop(self._wire)
            self._deliver(direction, epochs, frame)
        self.agent.tick(self.now)
        paused_at = self.channel.paused_at
        if paused_at is not None and self.now >= paused_at + PAUSE_DEADLINE_S:
            self.reason = "the agent is away"  # a session fails with it
            self.channel.paused_at = None
        if self.agent.done and self.channel.state is not State.CLOSED and self.up:
            self.channel.receive(wire.channel_closed(), self.now)
        self._client()

    def _client(self) -> None:
        for event in self.channel.events():
            self._on_event(event)
        while self._pending and self.opened and (room := self.channel.room):
            chunk = bytes(self._pending[:room])
            del self._pending[:room]
            self.channel.write(chunk)
            self._flush()
        self._flush()
        data = self.channel.read()
        self.received += self._reader.feed(data) if self._reader else data
        assert self.channel.unread == 0

    def _flush(self) -> None:
        if not self.up:
            return
        while frames := self.channel.frames(self.now, BUDGET):
            for frame in frames:
                self._on_client_frame(frame)
        for event in self.channel.events():
            self._on_event(event)
        assert self.channel.deadline > self.now, "it has nothing to send and does not wait"

    def _on_event(self, event: object) -> None:
        if isinstance(event, KeyWanted):
            assert (event.encryption.key_id, event.encryption.challenge) == ("key-1", "nonce")
            self.channel.provide_key(CIPHERTEXT_KEY, DataKeyCipher(KEY))
        elif isinstance(event, Opened):
            assert event.customer_message == "hello"
            self.opened = True
            self._settled_at = self.now + SETTLE_S
            if event.multiplexed:
                self._reader = OneStream()
                self.channel.write_whole(smux.open_stream())
                self.channel.frame_with(smux.data_frame, smux.HEADER_BYTES)
        elif isinstance(event, PortRefused):
            self.refused = True
        elif isinstance(event, Closed):
            self.reason = self.reason or event.reason

    def _on_client_frame(self, frame: bytes) -> None:
        message = wire.unpack(frame)
        chance = self.weather.loss
        if message.kind == "acknowledge":
            chance = max(chance, self.weather.ack_loss)
        else:
            self._note_sent(message.sequence, frame, len(message.payload))
            if message.payload_type == wire.OUTPUT:
                self._data_times.append(self.now)
            if len(message.payload) > 1024 and self.weather.large != "taken":
                if self.weather.large == "cut" and self.up:
                    self.cut(UP, 0.1)
                return
        self._travel(UP, frame, chance)

    def _note_sent(self, sequence: int, frame: bytes, size: int) -> None:
        assert self._sent.setdefault(sequence, frame) == frame, "a sent message was changed"
        assert sequence <= len(self._sent), "a sequence number is missing"
        if sequence not in self._unacked and len(self._sent) == sequence + 1:
            self._unacked[sequence] = size
            self._unacked_bytes += size
        assert self._unacked_bytes <= WINDOW_BYTES + QUEUE_BYTES + SLACK

    def _from_agent(self, frame: bytes) -> None:
        if not hasattr(self, "agent"):  # the constructor of the agent sends its handshake request
            self._travel(DOWN, frame, 0)
            return
        if self._back_at[DOWN]:
            return  # the agent's websocket is down: the frame is lost
        chance = self.weather.loss
        if wire.unpack(frame).kind == "acknowledge":
            chance = max(chance, self.weather.ack_loss)
        self._travel(DOWN, frame, chance)

    def _travel(self, direction: int, frame: bytes, loss: float) -> None:
        if self.random.random() < loss:
            return
        copies = 2 if self.random.random() < self.weather.duplication else 1
        for _ in range(copies):
            arrival = max(self._clock[direction], self.now + self.weather.delay)
            if self.random.random() < self.weather.reordering:
                arrival += self.random.random() * 0.1
            else:
                self._clock[direction] = arrival
            self._count += 1
            epochs = self._epochs[0] * 1000 + self._epochs[1]
            heapq.heappush(self._wire, (arrival, self._count, direction, epochs, frame))

    def _deliver(self, direction: int, epochs: int, frame: bytes) -> None:
        changed = epochs != self._epochs[0] * 1000 + self._epochs[1]
        if changed and self.random.random() < 0.7:
            return  # the connection broke while the frame was on its way
        if direction == UP:
            if not self._back_at[DOWN] and not self.agent.done:
                self.agent.on_frame(frame, self.now)
        elif self.up:
            message = wire.unpack(frame)
            if message.kind == "acknowledge":
                self._note_ack(message)
            self.channel.receive(frame, self.now)

    def _note_ack(self, message: wire.Wire) -> None:
        sequence = json.loads(message.payload)["AcknowledgedMessageSequenceNumber"]
        self._unacked_bytes -= self._unacked.pop(sequence, 0)
