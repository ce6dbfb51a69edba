"""AgentMessage on the wire. It shares no code with the client, which it tests."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
from typing import Any, NamedTuple

ACK = "acknowledge"
CHANNEL_CLOSED = "channel_closed"
INPUT = "input_stream_data"
OUTPUT = "output_stream_data"
PAUSE = "pause_publication"
SESSION_STATE = "agent_session_state"
START = "start_publication"

# Payload types.
DATA = 1
SIZE = 3
HANDSHAKE_REQUEST = 5
HANDSHAKE_RESPONSE = 6
HANDSHAKE_COMPLETE = 7
ENC_CHALLENGE_RESPONSE = 9
FLAG = 10
CLOSED_PAYLOAD = 261  # seen on channel_closed in the field

# Flags carried by a payload of type FLAG.
DISCONNECT_TO_PORT = 1
TERMINATE_SESSION = 2
CONNECT_TO_PORT_ERROR = 3

SYN_FIN = 3

HEADER = struct.Struct(">I32sIQqQ8s8s32sII")
HEADER_LENGTH = HEADER.size - 4

_KNOWN = (ACK, CHANNEL_CLOSED, INPUT, OUTPUT, PAUSE, SESSION_STATE, START)
_PADDED = {name: name.encode().ljust(32) for name in _KNOWN}
_NAMES = {padded: name for name, padded in _PADDED.items()}


class MalformedError(ValueError):
    """The bytes are not an AgentMessage."""


class Message(NamedTuple):
    """One AgentMessage; `message_id` holds the UUID's bytes in their usual order."""

    type: str
    sequence: int
    flags: int
    message_id: bytes
    payload_type: int
    payload: bytes
    digest: bytes
    created: int = 0

    @property
    def digest_ok(self) -> bool:
        """Whether the digest matches the payload."""
        return self.digest == hashlib.sha256(self.payload).digest()


def new_message_id() -> bytes:
    """Return the bytes of a random UUID, version 4."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def uuid_text(raw: bytes) -> str:
    """Return the usual text of a UUID, with hyphens."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def encode(
    type_: str, payload: bytes, *, sequence: int = 0, flags: int = 0, payload_type: int = 0
) -> bytes:
    """Serialise one message."""
    message_id = new_message_id()
    return (
        HEADER.pack(
            HEADER_LENGTH,
            _PADDED[type_],
            1,
            int(time.time() * 1000),
            sequence,
            flags,
            message_id[8:],
            message_id[:8],
            hashlib.sha256(payload).digest(),
            payload_type,
            len(payload),
        )
        + payload
    )


def kind(data: bytes) -> str:
    """Return the type of a message; an empty text if it is unknown."""
    return _NAMES.get(data[4:36], "")


def payload_length(data: bytes) -> int:
    """Return the length of a message's payload in bytes."""
    return max(0, len(data) - HEADER.size)


def decode(data: bytes) -> Message:
    """Read one message the way the agent does.

    Raises:
        MalformedError: It is too short, or has a header that the agent rejects.
    """
    if len(data) < HEADER.size:
        raise MalformedError(f"{len(data)} bytes are too few for a message")
    length, padded, _, created, sequence, flags, low, high, digest, payload_type, _ = (
        HEADER.unpack_from(data)
    )
    name = _NAMES.get(padded)
    if name is None:
        name = padded.strip(b"\0").strip(b" ").decode("ascii", "replace")
    if not name or created == 0 or not HEADER_LENGTH <= length <= len(data) - 4:
        raise MalformedError(f"header of {length} bytes, type {name!r}, created at {created}")
    # All bytes behind the header are the payload: the agent ignores PayloadLength.
    payload = data[length + 4 :]
    return Message(name, sequence, flags, high + low, payload_type, payload, digest, created)


def acknowledge(message: Message) -> bytes:
    """Serialise the acknowledgement of one message."""
    content = (
        f'{{"AcknowledgedMessageType":"{message.type}",'
        f'"AcknowledgedMessageId":"{uuid_text(message.message_id)}",'
        f'"AcknowledgedMessageSequenceNumber":{message.sequence},'
        '"IsSequentialMessage":true}'
    )
    return encode(ACK, content.encode(), flags=SYN_FIN)


def acknowledged(payload: bytes) -> int:
    """Return the sequence number that an acknowledgement names.

    Raises:
        MalformedError: It has none.
    """
    content = json_object(payload)
    sequence = content.get("AcknowledgedMessageSequenceNumber")
    if not isinstance(sequence, int):
        raise MalformedError("the acknowledgement has no sequence number")
    return sequence


def channel_closed(session: str, target: str, output: str) -> bytes:
    """Serialise channel_closed: the session is over."""
    content = {
        "MessageType": CHANNEL_CLOSED,
        "MessageId": uuid_text(new_message_id()),
        "DestinationId": target,
        "SessionId": session,
        "SchemaVersion": 1,
        "CreatedDate": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "Output": output,
    }
    payload = json.dumps(content).encode()
    return encode(CHANNEL_CLOSED, payload, flags=SYN_FIN, payload_type=CLOSED_PAYLOAD)


def publication(type_: str) -> bytes:
    """Serialise pause_publication or start_publication as the service does.

    They are empty, with a digest of zeros and a wrong length.
    """
    return HEADER.pack(
        HEADER_LENGTH, _PADDED[type_], 1, int(time.time() * 1000), 0, SYN_FIN,
        *(new_message_id()[:8], new_message_id()[8:]), bytes(32), 0, 32,
    )  # fmt: skip


def json_object(payload: bytes | str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        MalformedError: It is not a JSON object.
    """
    try:
        content = json.loads(payload)
    except ValueError as error:
        raise MalformedError(f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise MalformedError("not a JSON object")
    return content
