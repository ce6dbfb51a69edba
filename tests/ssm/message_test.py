from __future__ import annotations

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_proxy.ssm import message
from sm_proxy.ssm.message import Flag, MalformedMessageError, PayloadType
from tests.ssm import agent_wire as wire


@given(sequence=st.integers(0, 2**62), payload=st.binary(max_size=3000))
def test_input_reads_as_the_agent_reads_it(sequence: int, payload: bytes) -> None:
    frame = message.encode_input(sequence, PayloadType.OUTPUT, payload, 1_700_000_000_000)
    read = wire.unpack(frame)
    assert (read.kind, read.sequence, read.payload) == ("input_stream_data", sequence, payload)
    assert (read.flags, read.payload_type) == (0, 1)


def test_a_payload_of_one_line_feed_is_sent_unchanged() -> None:
    assert wire.unpack(message.encode_input(1, 1, b"\n", 1_700_000_000_000)).payload == b"\n"


def test_ack_names_the_message_by_its_usual_uuid() -> None:
    name = uuid.UUID("01234567-89ab-4def-8123-456789abcdef")
    frame = wire.pack("output_stream_data", b"x", sequence=7, payload_type=1, message_id=name)
    read = wire.unpack(message.encode_ack(message.decode(frame), 1_700_000_000_000))
    assert (read.kind, read.sequence, read.flags, read.payload_type) == ("acknowledge", 0, 3, 0)
    assert json.loads(read.payload) == {
        "AcknowledgedMessageType": "output_stream_data",
        "AcknowledgedMessageId": str(name),
        "AcknowledgedMessageSequenceNumber": 7,
        "IsSequentialMessage": True,
    }


def test_message_ids_differ() -> None:
    frames = [message.encode_input(0, 1, b"", 1_700_000_000_000) for _ in range(100)]
    assert len({wire.unpack(frame).message_id for frame in frames}) == 100


@given(payload=st.binary(min_size=1, max_size=50), position=st.integers(0, 10**6))
def test_a_changed_payload_is_refused(payload: bytes, position: int) -> None:
    frame = bytearray(wire.output(0, payload))
    frame[120 + position % len(payload)] ^= 1
    with pytest.raises(MalformedMessageError):
        message.decode(bytes(frame))


@given(frame=st.binary(max_size=300))
def test_random_bytes_raise_only_malformed_message_error(frame: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        message.decode(frame)


@pytest.mark.parametrize("header", [0, 4, 115, 118, 2**32 - 1])
def test_an_impossible_header_length_is_refused(header: int) -> None:
    frame = header.to_bytes(4, "big") + wire.output(0, b"x")[4:]
    with pytest.raises(MalformedMessageError):
        message.decode(frame)


@pytest.mark.parametrize("kind", ["pause_publication", "start_publication"])
def test_start_and_pause_publication_are_not_validated(kind: str) -> None:
    frame = bytearray(wire.pack(kind, b"", digest=b"\7" * 32))
    frame[116:120] = (99).to_bytes(4, "big")
    assert message.decode(bytes(frame) + b"?").kind == kind


def test_type_may_be_padded_with_nuls() -> None:
    frame = bytearray(wire.output(0, b"x"))
    frame[4:36] = b"output_stream_data".ljust(32, b"\0")
    assert message.decode(bytes(frame)).kind == "output_stream_data"


def test_flag_is_four_bytes() -> None:
    assert Flag.TERMINATE_SESSION.payload() == b"\0\0\0\2"
