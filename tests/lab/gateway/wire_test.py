from __future__ import annotations

import hashlib
import struct
import uuid

import pytest

from sm_proxy_lab.gateway import wire

from . import scripted_client as own


def test_a_message_has_the_documented_layout() -> None:
    raw = wire.encode(wire.OUTPUT, b"abc", sequence=7, flags=1, payload_type=1)
    assert raw[:4] == struct.pack(">I", 116)
    assert raw[4:36] == b"output_stream_data              "
    assert raw[36:40] == struct.pack(">I", 1)
    assert struct.unpack(">Q", raw[40:48])[0] > 1_600_000_000_000
    assert raw[48:64] == struct.pack(">qQ", 7, 1)
    assert raw[80:112] == hashlib.sha256(b"abc").digest()
    assert raw[112:] == struct.pack(">II", 1, 3) + b"abc"


def test_the_halves_of_the_message_id_are_swapped() -> None:
    raw = own.encode("input_stream_data", b"", 3)
    message = wire.decode(raw)
    name = own.decode(raw).id
    assert message.message_id == name.bytes
    assert wire.uuid_text(message.message_id) == str(name)
    assert uuid.UUID(bytes=wire.new_message_id()).version == 4


def test_an_ack_names_its_message() -> None:
    raw = own.encode("input_stream_data", b"x", 12)
    answer = own.decode(wire.acknowledge(wire.decode(raw)))
    assert (answer.type, answer.sequence, answer.flags, answer.payload_type) == (
        "acknowledge", 0, 3, 0,
    )  # fmt: skip
    assert answer.json == {
        "AcknowledgedMessageType": "input_stream_data",
        "AcknowledgedMessageId": str(own.decode(raw).id),
        "AcknowledgedMessageSequenceNumber": 12,
        "IsSequentialMessage": True,
    }
    assert wire.acknowledged(answer.payload) == 12


def test_publication_messages_have_the_bugs_of_the_real_service() -> None:
    raw = wire.publication(wire.PAUSE)
    assert len(raw) == 120
    assert raw[80:112] == bytes(32)
    assert raw[116:120] != bytes(4)


def test_nul_padding_and_longer_headers_are_read() -> None:
    raw = bytearray(own.encode("input_stream_data", b"x"))
    raw[4:36] = b"input_stream_data".ljust(32, b"\0")
    assert wire.decode(bytes(raw)).type == "input_stream_data"
    raw[:4] = struct.pack(">I", 117)
    assert wire.decode(bytes(raw)).payload == b""


@pytest.mark.parametrize("start", [0, 40], ids=["header length", "created date"])
def test_malformed_messages_are_refused(start: int) -> None:
    raw = bytearray(own.encode("input_stream_data", b""))
    raw[start : start + 8] = bytes(8)
    with pytest.raises(wire.MalformedError):
        wire.decode(bytes(raw))
    with pytest.raises(wire.MalformedError):
        wire.decode(bytes(raw)[:119])
