"""Our short way for whole binary messages, against the library's own."""

from __future__ import annotations

import contextlib
import itertools
import socket
from typing import Any, cast
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from sm_proxy.ssm import frames, transport
from sm_proxy.ssm.transport import DisconnectedError, WebSocket
from tests.soak import SOAK

EXAMPLES = 20_000 if SOAK else 400
LIMIT = 300
"""Of a message, in place of our own: short bytes can be read in a report."""
LENGTHS = st.sampled_from([0, 1, 2, 3, 124, 125, 126, 127, 255, 256, LIMIT - 1, LIMIT, LIMIT + 1])


def frame(first: int, data: bytes, width: int = 0, key_bit: int = 0, length: int = -1) -> bytes:
    """A server's frame; a longer length field than it needs is allowed, if not by everyone."""
    length = len(data) if length < 0 else length
    if length >= 1 << 16 or width == 8:
        head = bytes([first, key_bit | 127]) + length.to_bytes(8, "big")
    elif length > 125 or width == 2:
        head = bytes([first, key_bit | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, key_bit | length])
    return head + data


SOME = LENGTHS.map(bytes) | st.binary(max_size=9)
MESSAGE = st.builds(frame, st.just(0x82), SOME, st.sampled_from([0, 0, 2, 8]))
CONTROL = st.builds(frame, st.sampled_from([0x89, 0x8A]), st.binary(max_size=125))
CLOSE = st.builds(
    frame, st.just(0x88), st.sampled_from([b"", b"\x03\xe8", b"\x03\xe8bye", b"\0\0"])
)
PART = st.builds(frame, st.sampled_from([0x01, 0x02, 0x00, 0x80, 0x81]), SOME)
PARTS = st.tuples(
    st.builds(frame, st.sampled_from([0x01, 0x02]), SOME),
    CONTROL | MESSAGE | st.just(b""),
    st.builds(frame, st.just(0x80), SOME),
).map(b"".join)
ODD = st.builds(
    frame,
    st.just(0x82) | st.integers(0, 255),
    SOME,
    key_bit=st.sampled_from([0, 0, 0x80]),
    length=st.sampled_from([-1, -1, LIMIT + 1, 1 << 16, 1 << 60]),
)
KINDS = st.sampled_from([MESSAGE] * 4 + [PARTS] * 2 + [CONTROL, CLOSE, PART, ODD]).flatmap(
    lambda kind: kind
)


@st.composite
def received(draw: st.DrawFn) -> list[bytes]:
    """What arrives: frames, perhaps cut off at the end, in any split."""
    whole = draw(st.lists(KINDS, max_size=6))
    data = b"".join(whole)
    data = data[: len(data) - draw(st.sampled_from([0, 0, 1, 2, 3, 500]))]
    starts = list(itertools.accumulate(map(len, whole)))
    near = draw(st.lists(st.tuples(st.sampled_from([0, *starts]), st.integers(-2, 12)), max_size=5))
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=3))
    points = {0, len(data), *cuts, *(start + more for start, more in near)}
    points = {point for point in points if 0 <= point <= len(data)}
    return [data[start:end] for start, end in itertools.pairwise(sorted(points))]


class Chunks:
    """A socket that gives these chunks, and keeps what is sent."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.sent = b""
        self._chunks = list(chunks)

    def recv(self, _limit: int) -> bytes:
        if not self._chunks:
            raise BlockingIOError
        return self._chunks.pop(0)

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)


def opened() -> ClientProtocol:
    """A protocol behind its upgrade."""
    protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"), max_size=LIMIT)
    protocol.state = State.OPEN
    # The generator is at the upgrade's answer: continue with frames, as after it.
    protocol.parser = super(ClientProtocol, protocol).parse()
    next(protocol.parser)
    return protocol


def by_library(chunks: list[bytes]) -> tuple[list[bytes], int, ClientProtocol, bytes]:
    """The messages, the number of pongs, the protocol's end and the answers, of the library."""
    protocol = opened()
    messages: list[bytes] = []
    parts: list[bytes] = []
    pongs = 0
    for chunk in chunks:
        protocol.receive_data(chunk)
    for event in protocol.events_received():
        event = cast("Frame", event)
        pongs += event.opcode is Opcode.PONG
        if event.opcode in {Opcode.BINARY, Opcode.TEXT, Opcode.CONT}:
            parts.append(bytes(event.data))
            if event.fin:
                messages.append(b"".join(parts))
                parts.clear()
    return messages, pongs, protocol, b"".join(protocol.data_to_send())


def client_frames(data: bytes) -> list[tuple[Opcode, bytes]]:
    """What a server reads."""
    server = ServerProtocol(max_size=None)
    server.state = State.OPEN
    server.parser = super(ServerProtocol, server).parse()
    next(server.parser)
    server.receive_data(data)
    assert server.parser_exc is None
    return [(event.opcode, bytes(event.data)) for event in cast("Any", server.events_received())]


@settings(max_examples=EXAMPLES)
@given(received())
@example([b"\xff\xff"])
@example([b"\x82\xfe", b"\x00"])
@example([frame(0x82, b"abcd", key_bit=0x80)])
@example([b"\x82\x7f\x00\x00\x00\x00\x00\x04\x00\x01", b"x"])
@example([frame(0x02, b"") + frame(0x82, b"abc")])
def test_whatever_arrives_means_the_same_as_to_the_library(chunks: list[bytes]) -> None:
    peer = Chunks(chunks)
    websocket = WebSocket(cast("socket.socket", peer), protocol := opened())
    messages: list[bytes] = []
    with (
        mock.patch.object(transport, "MESSAGE_LIMIT", LIMIT),
        contextlib.suppress(DisconnectedError),
    ):
        for _ in range(len(chunks) + 1):
            messages += websocket.receive()
            websocket.flush()
    expected, pongs, library, answers = by_library(chunks)
    assert messages == expected
    assert websocket.pongs == pongs
    assert protocol.state is library.state
    assert protocol.close_rcvd == library.close_rcvd
    assert repr(protocol.parser_exc) == repr(library.parser_exc)
    assert client_frames(peer.sent) == client_frames(answers)


@given(st.lists(SOME, max_size=5))
def test_a_server_reads_what_was_masked(messages: list[bytes]) -> None:
    expected = [(Opcode.BINARY, message) for message in messages]
    assert client_frames(frames.masked(messages)) == expected


@pytest.mark.parametrize("length", [65535, 65536, transport.MESSAGE_LIMIT])
def test_large_messages_go_both_ways(length: int) -> None:
    message = bytes(length)
    assert client_frames(frames.masked([message])) == [(Opcode.BINARY, message)]
    data = frame(0x82, message) * 2
    for point in (3, 9, len(data) // 2, len(data) - 1):
        peer = cast("socket.socket", Chunks([data[:point], data[point:]]))
        websocket = WebSocket(peer, opened())
        assert websocket.receive() + websocket.receive() == [message, message]


def test_each_frame_has_a_key_of_its_own() -> None:
    data = frames.masked([b"same", b"same"])
    assert len({data[2:6], data[12:16]}) == 2


def test_nothing_is_sent_behind_a_goodbye() -> None:
    websocket = WebSocket(cast("socket.socket", Chunks([])), opened())
    websocket.say_goodbye()
    with pytest.raises(DisconnectedError, match="closing"):
        websocket.send_frames([b"late"])
