"""The wire format for the model of the agent, written independently of the library's.

The library must not check itself. So this code shares nothing with it, reads every field, and
refuses everything that the agent or the reference client would refuse.
"""

from __future__ import annotations

import hashlib
import json
import struct
import uuid
from dataclasses import dataclass
from typing import Any

OUTPUT, HS_REQUEST, HS_RESPONSE, HS_COMPLETE = 1, 5, 6, 7
CHALLENGE, CHALLENGE_ANSWER, FLAG = 8, 9, 10


@dataclass(frozen=True)
class Wire:
    """One message with every field."""

    kind: str
    sequence: int
    flags: int
    message_id: uuid.UUID
    payload_type: int
    payload: bytes


def pack(
    kind: str,
    payload: bytes,
    *,
    sequence: int = 0,
    flags: int = 3,
    payload_type: int = 0,
    message_id: uuid.UUID | None = None,
    digest: bytes | None = None,
) -> bytes:
    raw = (message_id or uuid.uuid4()).bytes
    parts = [
        struct.pack(">I", 116),
        kind.encode().ljust(32, b" "),
        struct.pack(">IQqQ", 1, 1_700_000_000_000, sequence, flags),
        raw[8:],
        raw[:8],
        hashlib.sha256(payload).digest() if digest is None else digest,
        struct.pack(">II", payload_type, len(payload)),
        payload,
    ]
    return b"".join(parts)


def unpack(frame: bytes) -> Wire:
    header, kind = struct.unpack_from(">I32s", frame)
    schema, created, sequence, flags = struct.unpack_from(">IQqQ", frame, 36)
    payload_type, length = struct.unpack_from(">II", frame, 112)
    payload = frame[120:]
    assert header == 116
    assert kind == kind.rstrip(b" ").ljust(32, b" "), "padded with spaces"
    assert schema == 1
    assert created > 1_500_000_000_000, "Unix milliseconds"
    assert length == len(payload)
    assert frame[80:112] == hashlib.sha256(payload).digest()
    message_id = uuid.UUID(bytes=frame[72:80] + frame[64:72])
    assert message_id.version == 4
    return Wire(kind.decode().rstrip(), sequence, flags, message_id, payload_type, payload)


def pack_json(kind: str, document: Any) -> bytes:
    return pack(kind, json.dumps(document).encode())


def channel_closed(output: str = "") -> bytes:
    document = {"MessageType": "channel_closed", "SessionId": "s-1", "Output": output}
    return pack("channel_closed", json.dumps(document).encode(), payload_type=261)


def pause() -> bytes:
    return pack("pause_publication", b"", digest=b"\1" * 32)


def start() -> bytes:
    return pack("start_publication", b"", digest=b"\1" * 32)


def handshake_request(
    *,
    properties: dict[str, str] | None = None,
    version: str = "3.3.1230.0",
    session_type: str = "Port",
    **extra: Any,
) -> bytes:
    actions: list[dict[str, Any]] = [
        {
            "ActionType": "SessionType",
            "ActionParameters": {
                "SessionType": session_type,
                "Properties": properties or {"portNumber": "22"},
            },
        }
    ]
    if extra:
        actions.append({"ActionType": "KMSEncryption", "ActionParameters": extra})
    document = {"AgentVersion": version, "RequestedClientActions": actions}
    return json.dumps(document).encode()


def output(sequence: int, payload: bytes, payload_type: int = OUTPUT) -> bytes:
    """A stream message as the agent sends it."""
    return pack(
        "output_stream_data",
        payload,
        sequence=sequence,
        flags=1 if sequence == 0 else 0,
        payload_type=payload_type,
    )


def ack(sequence: int) -> bytes:
    """The agent's ack of one of our messages."""
    return pack_json(
        "acknowledge",
        {
            "AcknowledgedMessageType": "input_stream_data",
            "AcknowledgedMessageId": str(uuid.uuid4()),
            "AcknowledgedMessageSequenceNumber": sequence,
            "IsSequentialMessage": True,
        },
    )
