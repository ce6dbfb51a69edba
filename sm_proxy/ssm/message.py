"""The wire format of one AgentMessage (P: message/clientmessage.go:129-171, messageparser.go).

Big-endian throughout. A message is a header of 116 bytes, the payload's length, the payload:

    off len field
      0   4 HeaderLength      116; the payload starts at HeaderLength + 4
      4  32 MessageType       ASCII, padded with spaces
     36   4 SchemaVersion     1
     40   8 CreatedDate       Unix milliseconds, never 0
     48   8 SequenceNumber    per direction; 0 in messages that are not sequenced
     56   8 Flags             bit 0 SYN, bit 1 FIN; both ends ignore them
     64  16 MessageId         a UUID with its two halves swapped
     80  32 PayloadDigest     SHA-256 of the payload as sent
    112   4 PayloadType       kind of the payload; 0 in acknowledgements
    116   4 PayloadLength
    120   n Payload
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from enum import IntEnum
from typing import Final, NamedTuple

_LAYOUT: Final = struct.Struct(">I32sIQqQ16s32sII")
_HEADER_LENGTH: Final = 116
_MINIMUM: Final = _LAYOUT.size
_SCHEMA_VERSION: Final = 1
_NO_FLAGS: Final = 0
_ACK_FLAGS: Final = 3
"""SYN and FIN: agents on Windows are said to refuse an ack with SYN alone."""
_ACK_LIMIT: Final = 4096
"""Largest payload of an ack that is parsed, in bytes: a real one has about 175."""

INPUT: Final = "input_stream_data"
OUTPUT: Final = "output_stream_data"
ACKNOWLEDGE: Final = "acknowledge"
CHANNEL_CLOSED: Final = "channel_closed"
START_PUBLICATION: Final = "start_publication"
PAUSE_PUBLICATION: Final = "pause_publication"
SESSION_STATE: Final = "agent_session_state"

_INPUT_FIELD: Final = INPUT.encode().ljust(32)
_ACK_FIELD: Final = ACKNOWLEDGE.encode().ljust(32)
_FREQUENT: Final = {kind.encode().ljust(32): kind for kind in (OUTPUT, ACKNOWLEDGE)}
"""The fields of the messages that come by the thousand, decoded."""
_UNCHECKED: Final = frozenset({START_PUBLICATION, PAUSE_PUBLICATION})
"""The service sends these two with a wrong digest and length, so we do not check them."""


class PayloadType(IntEnum):
    """The kind of a stream message's payload (P: message/clientmessage.go:75-88)."""

    OUTPUT = 1
    ERROR = 2
    SIZE = 3
    PARAMETER = 4
    HANDSHAKE_REQUEST = 5
    HANDSHAKE_RESPONSE = 6
    HANDSHAKE_COMPLETE = 7
    ENC_CHALLENGE_REQUEST = 8
    ENC_CHALLENGE_RESPONSE = 9
    FLAG = 10
    STDERR = 11
    EXIT_CODE = 12


class Flag(IntEnum):
    """The value of a FLAG payload, four bytes (P: message/clientmessage.go:92-96)."""

    DISCONNECT_TO_PORT = 1
    TERMINATE_SESSION = 2
    CONNECT_TO_PORT_ERROR = 3

    def payload(self) -> bytes:
        """The flag as a payload."""
        return self.to_bytes(4, "big")


class MalformedMessageError(ValueError):
    """A frame is not an AgentMessage, or its digest does not match its payload."""


class Message(NamedTuple):
    """One AgentMessage as received."""

    kind: str
    sequence: int
    payload_type: int
    message_id: bytes
    """The UUID's 16 bytes in wire order: halves swapped."""
    payload: bytes


def decode(frame: bytes) -> Message:
    """Read one websocket frame.

    Raises:
        MalformedMessageError: too short, not ASCII, or the digest is not the payload's.
    """
    if len(frame) < _MINIMUM:
        raise MalformedMessageError(f"{len(frame)} bytes, a message has at least {_MINIMUM}")
    header, field, _, _, sequence, _, message_id, digest, payload_type, _ = _LAYOUT.unpack_from(
        frame
    )
    try:
        kind = _FREQUENT.get(field) or field.rstrip(b"\0 ").decode("ascii")
    except UnicodeDecodeError:
        raise MalformedMessageError("the message type is not ASCII") from None
    # Neither side trusts PayloadLength: the payload is everything up to the end.
    payload = frame[header + 4 :]
    if kind not in _UNCHECKED:
        if not _HEADER_LENGTH <= header <= len(frame) - 4:
            raise MalformedMessageError(f"a header of {header} bytes in a message of {len(frame)}")
        if payload and hashlib.sha256(payload).digest() != digest:
            raise MalformedMessageError(
                f"the digest of {kind} {sequence} does not match its payload"
            )
    return Message(kind, sequence, payload_type, message_id, payload)


def encode_input(sequence: int, payload_type: int, payload: bytes, now_ms: int) -> bytes:
    """A sequenced message from client to agent, ready for one websocket frame."""
    return (
        _LAYOUT.pack(
            _HEADER_LENGTH,
            _INPUT_FIELD,
            _SCHEMA_VERSION,
            now_ms,
            sequence,
            _NO_FLAGS,
            _random_id(),
            hashlib.sha256(payload).digest(),
            payload_type,
            len(payload),
        )
        + payload
    )


def encode_ack(message: Message, now_ms: int) -> bytes:
    """The acknowledgement of one message. Both ends read only the sequence number in it."""
    payload = (
        b'{"AcknowledgedMessageType":"%b","AcknowledgedMessageId":"%b",'
        b'"AcknowledgedMessageSequenceNumber":%d,"IsSequentialMessage":true}'
        % (message.kind.encode(), _uuid_text(message.message_id), message.sequence)
    )
    return (
        _LAYOUT.pack(
            _HEADER_LENGTH,
            _ACK_FIELD,
            _SCHEMA_VERSION,
            now_ms,
            0,
            _ACK_FLAGS,
            _random_id(),
            hashlib.sha256(payload).digest(),
            0,
            len(payload),
        )
        + payload
    )


def decode_ack(payload: bytes) -> int | None:
    """The sequence number that an ack's payload names; None if the payload is malformed."""
    if len(payload) > _ACK_LIMIT:
        return None
    try:
        sequence = json.loads(payload)["AcknowledgedMessageSequenceNumber"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return sequence if type(sequence) is int else None  # a bool is an int for isinstance


def _random_id() -> bytes:
    """A random (version 4) UUID in wire order."""
    wire = bytearray(os.urandom(16))
    wire[14] = wire[14] & 0x0F | 0x40
    wire[0] = wire[0] & 0x3F | 0x80
    return bytes(wire)


def _uuid_text(wire: bytes) -> bytes:
    """The UUID's usual text from its wire order."""
    text = wire.hex()
    return f"{text[16:24]}-{text[24:28]}-{text[28:]}-{text[:4]}-{text[4:16]}".encode()
