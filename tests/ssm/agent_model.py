"""A model of the SSM agent's port session, with its faults, in simulated time.

Written from the agent's sources (aws/amazon-ssm-agent at 1c217c89), apart from the library: acks
after processing, re-acks, a front-only resend every 100 ms, rejection without ack while the target
is dialled, 1,024 bytes a message and 1 ms between them, a pause that any inbound message ends.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.ssm import agent_wire as wire

READ = 1024
READ_PAUSE = 0.001
RESEND_TICK = 0.1
NEVER = float("inf")
KEY = bytes(range(64))
CIPHERTEXT_KEY = b"the data key, wrapped"


@dataclass
class Plan:
    """What kind of session the agent runs."""

    mux: bool = False
    encrypted: bool = False
    dial_takes: float = 0.0
    unaware: float = 0.0
    """After HandshakeComplete it acknowledges and throws away data for so many seconds."""
    refuses: bool = False
    """Whether the target's port is closed (with mux only: other agents do not report it)."""


@dataclass
class Smux:
    """The server's side of smux version 1."""

    buffer: bytearray = field(default_factory=bytearray)
    opened: bool = False
    fin_seen: bool = False

    def feed(self, data: bytes) -> bytes:
        self.buffer += data
        out = bytearray()
        while len(self.buffer) >= 8:
            version, command, length, stream = struct.unpack_from("<BBHI", self.buffer)
            assert version == 1
            if len(self.buffer) < 8 + length:
                break
            payload = bytes(self.buffer[8 : 8 + length])
            del self.buffer[: 8 + length]
            assert stream == 3
            if command == 0:
                assert not self.opened
                self.opened = True
            elif command == 1:
                self.fin_seen = True
            elif command == 2:
                assert self.opened
                assert not self.fin_seen
                out += payload
        return bytes(out)


class Agent:
    """The agent of one session. It gives its frames to `send`."""

    def __init__(self, plan: Plan, now: float, send: Callable[[bytes], None]) -> None:
        self.plan = plan
        self.source = bytearray()
        self.source_ended = False
        self.target = bytearray()
        self.paused = False
        self.blocked_until = 0.0
        self.terminated = False
        self.closing_at = NEVER
        self.done = False
        self._send = send
        self._now = now
        self._next_sequence = 0
        self._expected = 0
        self._outgoing: dict[int, tuple[bytes, float]] = {}
        self._ids: dict[str, int] = {}
        self._held: dict[int, wire.Wire] = {}
        self._inbound: list[bytes] = []
        self._smux = Smux() if plan.mux else None
        self._tunnel = bytearray()
        self._fin_sent = False
        self._complete = False
        self._aware_at = NEVER
        self._ready_at = NEVER
        self._read_at = now
        self._tick_at = now + RESEND_TICK
        self._srtt, self._rttvar, self._rto = 0.1, 0.0, 0.2
        self._cipher_out = AESGCM(KEY[:32])
        self._cipher_in = AESGCM(KEY[32:])
        self._nonce = 0
        properties = {"portNumber": "22"}
        if plan.mux:
            properties |= {"type": "LocalPortForwarding", "host": "10.0.0.1"}
        extra = {"KMSKeyId": "key-1", "Challenge": "nonce"} if plan.encrypted else {}
        self._emit(wire.HS_REQUEST, wire.handshake_request(properties=properties, **extra))

    # what the world sees

    @property
    def next_at(self) -> float:
        """When to call `tick`."""
        if self.done:
            return NEVER
        moments = [self.closing_at]
        if self._inbound:
            moments.append(self.blocked_until)
        if self._outgoing and not self.paused:
            moments.append(self._tick_at)
        if self._readable and not self.paused and self._now < self._ready_at < NEVER:
            moments.append(self._ready_at)
        if self._readable and not self.paused and self._ready_at <= self._now:
            moments.append(self._read_at)
        return min(moments)

    @property
    def settled(self) -> bool:
        """Whether everything was sent and acknowledged."""
        return not (self._outgoing or self.source or self._tunnel)

    @property
    def _readable(self) -> bool:
        if self._smux is not None and not self._smux.opened:
            return False
        return bool(self.source or self._tunnel or (self.source_ended and not self._fin_sent))

    def on_frame(self, frame: bytes, now: float) -> None:
        self._now = now
        self._inbound.append(frame)
        self._process()

    def tick(self, now: float) -> None:
        self._now = now
        if self.done:
            return
        self._process()
        if now >= self._tick_at:
            self._tick_at = now + RESEND_TICK
            self._resend()
        while not self.paused and self._ready_at <= now and self._read_at <= now:
            if not self._readable:
                break
            self._read_source()
            self._read_at = now + READ_PAUSE
        if now >= self.closing_at and (not self._outgoing or now >= self.closing_at + 2.0):
            self.done = True
        elif now >= self.closing_at:
            self.closing_at += 0.01

    # inside

    def _process(self) -> None:
        while self._inbound and self._now >= self.blocked_until:
            message = wire.unpack(self._inbound.pop(0))
            self.paused = False
            if message.kind == "acknowledge":
                self._on_ack(message)
            else:
                assert message.kind == "input_stream_data"
                assert message.flags == 0
                self._on_stream(message)

    def _on_ack(self, message: wire.Wire) -> None:
        document = json.loads(message.payload)
        sequence = document["AcknowledgedMessageSequenceNumber"]
        assert message.flags == 3
        assert message.sequence == 0
        assert document["AcknowledgedMessageType"] == "output_stream_data"
        assert self._ids[document["AcknowledgedMessageId"]] == sequence
        entry = self._outgoing.pop(sequence, None)
        if entry is None:
            return
        round_trip = self._now - entry[1]
        self._rttvar = 0.75 * self._rttvar + 0.25 * abs(self._srtt - round_trip)
        self._srtt = 0.875 * self._srtt + 0.125 * round_trip
        self._rto = min(1.0, self._srtt + max(0.01, 4 * self._rttvar))

    def _on_stream(self, message: wire.Wire) -> None:
        if message.sequence > self._expected:
            self._held[message.sequence] = message
            self._acknowledge(message)
        elif message.sequence < self._expected:
            self._acknowledge(message)
        elif self._accept(message):
            self._acknowledge(message)
            self._expected += 1
            while (held := self._held.get(self._expected)) and self._accept(held):
                del self._held[self._expected]
                self._expected += 1

    def _accept(self, message: wire.Wire) -> bool:
        """Process a message; False, and no ack, while the handler is not ready."""
        payload = message.payload
        if message.payload_type == wire.HS_RESPONSE:
            self._on_response(json.loads(payload))
        elif message.payload_type == wire.CHALLENGE_ANSWER:
            proof = base64.b64decode(json.loads(payload)["Challenge"])
            assert self._decrypt(proof) == b"challenge"
            self._finish_handshake()
        elif self._now < self._aware_at:
            assert self._complete, "data before HandshakeComplete"
        elif self._now < self._ready_at:
            return False
        elif message.payload_type == wire.OUTPUT:
            self._on_data(self._decrypt(payload) if self.plan.encrypted else payload)
        elif message.payload_type == wire.FLAG:
            assert payload == b"\0\0\0\2"
            self.terminated = True
            self.closing_at = self._now
        return True

    def _on_response(self, document: dict[str, object]) -> None:
        results = document["ProcessedClientActions"]
        assert isinstance(results, list)
        assert [item["ActionStatus"] for item in results] == [1] * (1 + self.plan.encrypted)
        if self.plan.encrypted:
            key = results[1]["ActionResult"]
            assert base64.b64decode(key["KMSCipherTextKey"]) == CIPHERTEXT_KEY
            assert key["ChallengeAcknowledgement"] is True
            challenge = base64.b64encode(self._encrypt(b"challenge")).decode()
            self._emit(wire.CHALLENGE, json.dumps({"Challenge": challenge}).encode())
        else:
            self._finish_handshake()

    def _finish_handshake(self) -> None:
        # The agent sends this before the ack of our answer.
        self._emit(wire.HS_COMPLETE, b'{"HandshakeTimeToComplete":1,"CustomerMessage":"hello"}')
        self._complete = True
        self._aware_at = self._now + self.plan.unaware
        self._ready_at = self._aware_at + self.plan.dial_takes

    def _on_data(self, data: bytes) -> None:
        if self._smux is None:
            self.target += data
            return
        was_open = self._smux.opened
        self.target += self._smux.feed(data)
        if self._smux.opened and not was_open and self.plan.refuses:
            self._emit(wire.FLAG, b"\0\0\0\3")
            self.source.clear()
            self.source_ended = True
        if self._smux.fin_seen and not self.source_ended:
            # smux has no half-close: the bytes that the target still had to send are lost.
            self.source.clear()
            self.source_ended = True

    def _read_source(self) -> None:
        if self._smux is None:
            chunk = bytes(self.source[:READ])
            del self.source[:READ]
            if not chunk:
                self._fin_sent = True
                self.closing_at = self._now
                return
        else:
            if self._smux.opened:
                self._wrap()
            chunk = bytes(self._tunnel[:READ])
            del self._tunnel[:READ]
            if not chunk:
                return
        self._emit(wire.OUTPUT, self._encrypt(chunk) if self.plan.encrypted else chunk)

    def _wrap(self) -> None:
        if self.source:
            data = bytes(self.source[:32768])
            del self.source[:32768]
            self._tunnel += struct.pack("<BBHI", 1, 2, len(data), 3) + data
        elif self.source_ended and not self._fin_sent:
            self._tunnel += struct.pack("<BBHI", 1, 1, 0, 3)
            self._fin_sent = True

    def _resend(self) -> None:
        if self.paused or not self._outgoing:
            return
        front = min(self._outgoing)
        frame, sent = self._outgoing[front]
        if self._now - sent > self._rto:
            self._outgoing[front] = (frame, self._now)
            self._send(frame)

    def _emit(self, payload_type: int, payload: bytes) -> None:
        frame = wire.output(self._next_sequence, payload, payload_type)
        self._ids[str(wire.unpack(frame).message_id)] = self._next_sequence
        self._outgoing[self._next_sequence] = (frame, self._now)
        self._next_sequence += 1
        if not self.paused:
            self._send(frame)

    def _acknowledge(self, message: wire.Wire) -> None:
        self._send(wire.ack(message.sequence))

    def _encrypt(self, payload: bytes) -> bytes:
        self._nonce += 1
        nonce = self._nonce.to_bytes(12, "big")
        return nonce + self._cipher_out.encrypt(nonce, payload, None)

    def _decrypt(self, payload: bytes) -> bytes:
        return self._cipher_in.decrypt(payload[:12], payload[12:], None)
