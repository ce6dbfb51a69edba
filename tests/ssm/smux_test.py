from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_proxy.ssm import smux
from sm_proxy.ssm.incoming import Demultiplexer, Incoming
from tests.ssm.agent_model import Smux
from tests.ssm.one_stream import OneStream


def push(data: bytes, stream: int = 3) -> bytes:
    return struct.pack("<BBHI", 1, 2, len(data), stream) + data


@given(data=st.binary(max_size=100_000), splits=st.lists(st.integers(1, 5000), max_size=30))
def test_server_reads_what_we_frame(data: bytes, splits: list[int]) -> None:
    frames = [smux.data_frame(data[start : start + 32760]) for start in range(0, len(data), 32760)]
    stream = b"".join((smux.open_stream(), *frames, smux.close_stream()))
    server, out, position = Smux(), b"", 0
    for size in [*splits, len(stream)]:
        out += server.feed(stream[position : position + size])
        position += size
    assert out == data
    assert server.fin_seen


@given(pieces=st.lists(st.binary(max_size=300), max_size=8), sizes=st.lists(st.integers(1, 40)))
def test_reader_takes_any_split(pieces: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(push, pieces)) + smux.close_stream()
    reader, out, position = OneStream(), b"", 0
    for size in [*sizes, len(stream)]:
        out += reader.feed(stream[position : position + size])
        position += size
    assert out == b"".join(pieces)
    assert reader.ended


def test_bytes_after_the_end_are_ignored() -> None:
    reader = OneStream()
    assert reader.feed(push(b"a") + smux.close_stream() + push(b"b")) == b"a"


def test_keep_alives_and_other_streams_are_skipped() -> None:
    reader = OneStream()
    nop = struct.pack("<BBHI", 1, 3, 0, 0)
    other = push(b"x", stream=5) + struct.pack("<BBHI", 1, 1, 0, 5)
    assert reader.feed(nop + other + push(b"ours")) == b"ours"
    assert not reader.ended


@pytest.mark.parametrize(("version", "command"), [(2, 2), (0, 0), (1, 4), (83, 83)])
def test_bytes_that_are_not_smux_are_refused(version: int, command: int) -> None:
    with pytest.raises(smux.SmuxError):
        OneStream().feed(struct.pack("<BBHI", version, command, 0, 3))


@given(
    pieces=st.lists(st.tuples(st.sampled_from([3, 5, 7]), st.binary(max_size=300)), max_size=20),
    sizes=st.lists(st.integers(1, 60)),
)
def test_streams_are_told_apart_in_any_split(
    pieces: list[tuple[int, bytes]], sizes: list[int]
) -> None:
    sent = b"".join(push(data, number) for number, data in pieces) + smux.close_stream(5)
    demultiplexer = Demultiplexer()
    demultiplexer.multiplexed = True
    streams = demultiplexer.streams
    streams |= {5: Incoming(), 7: Incoming()}
    position = 0
    for size in [*sizes, len(sent)]:
        demultiplexer.feed(sent[position : position + size])
        position += size
    for number, stream in streams.items():
        own = b"".join(data for owner, data in pieces if owner == number)
        assert stream.spoke == bool(own)
        assert stream.read(0, hold=False) == own
        assert stream.unread == 0
        assert stream.ended == (number == 5)
    assert demultiplexer.ends == [5]
