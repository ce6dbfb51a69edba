"""Websocket frames of whole binary messages, cut out and made in one pass.

They carry all data. A download has thousands of small ones, and the `websockets` library takes
twice as long for each. All other frames stay with the library, and so does what is wrong.

A frame is (RFC 6455, 5.2; big-endian; only a client's frame has a key, which masks the data)

    FIN, 3 reserved bits, opcode (4 bits)   key bit, length (7 bits)   longer length (2 or 8)
    key (4)   data
"""

from __future__ import annotations

import os
import struct
from typing import Final

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel for this system
    from websockets.utils import apply_mask

_WHOLE_BINARY: Final = 0x82
_KEY_BIT: Final = 0x80
_OPCODES: Final = frozenset({0, 1, 2, 8, 9, 10})
_IN_2_BYTES: Final = 126
_IN_8_BYTES: Final = 127
_HEADS: Final = tuple(map(struct.Struct, ("!BB", "!BBH", "!BBQ")))


def masked(messages: list[bytes]) -> bytes:
    """The client's frames of these messages, one each."""
    keys = os.urandom(4 * len(messages))
    parts: list[bytes] = []
    for number, message in enumerate(messages):
        key = keys[4 * number : 4 * number + 4]
        parts += (_head(len(message)), key, apply_mask(message, key))
    return b"".join(parts)


def cut(data: bytes, at: int, limit: int) -> tuple[list[bytes], int]:
    """The messages from `at` on, up to a frame that is of another kind, above the limit or cut off.

    Args:
        data: received bytes; a frame begins at `at`.
        at: where to start.
        limit: the largest message, in bytes.

    Returns:
        The messages, and where that frame begins.
    """
    messages: list[bytes] = []
    end = len(data)
    while at + 4 <= end and data[at] == _WHOLE_BINARY:
        length = data[at + 1]
        if length == _IN_2_BYTES:
            start, length = at + 4, data[at + 2] << 8 | data[at + 3]
        elif length <= _IN_8_BYTES:
            start, length = _extent(data, at)
        else:
            break
        if start + length > end or length > limit:
            break
        at = start + length
        messages.append(data[start:at])
    return messages, at


def end_of(data: bytes, at: int, limit: int) -> int | None:
    """Where the frame at `at` ends, whatever its kind; None if it is cut off.

    A frame that the library refuses by its first bytes counts as whole: it need not be awaited.
    """
    if len(data) < at + 2:
        return None
    start, length = _extent(data, at)
    have = len(data)
    if data[at] & 0x0F not in _OPCODES or data[at + 1] & _KEY_BIT:
        return have
    if length > limit and start <= have:
        return have
    return start + length if start + length <= have else None


def _extent(data: bytes, at: int) -> tuple[int, int]:
    """Where a frame's data starts, and its length. The start may lie behind what has arrived."""
    length = data[at + 1] & ~_KEY_BIT
    if length < _IN_2_BYTES:
        return at + 2, length
    start = at + (4 if length == _IN_2_BYTES else 10)
    return start, int.from_bytes(data[at + 2 : start], "big")


def _head(length: int) -> bytes:
    if length < _IN_2_BYTES:
        return _HEADS[0].pack(_WHOLE_BINARY, _KEY_BIT | length)
    if length < 1 << 16:
        return _HEADS[1].pack(_WHOLE_BINARY, _KEY_BIT | _IN_2_BYTES, length)
    return _HEADS[2].pack(_WHOLE_BINARY, _KEY_BIT | _IN_8_BYTES, length)
