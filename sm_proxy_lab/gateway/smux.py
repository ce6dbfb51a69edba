"""smux v1 frames; the fields are little-endian, unlike those of AgentMessage."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SYN, FIN, PSH, NOP = range(4)
VERSION = 1
FRAME_HEADER = struct.Struct("<BBHI")
MAX_SEND = 32768


class SmuxError(Exception):
    """The peer does not speak smux v1."""


class Frame(NamedTuple):
    """One frame; `data` is only valid until the next frame is read."""

    command: int
    stream: int
    data: memoryview


def encode(command: int, stream: int, data: bytes | memoryview = b"") -> bytes:
    """Serialise a frame."""
    return b"".join((FRAME_HEADER.pack(VERSION, command, len(data), stream), data))


class Parser:
    """Cuts a byte stream into frames; keeps the bytes of a frame until it is read."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def __len__(self) -> int:
        """Count the bytes of an incomplete frame."""
        return len(self._rest)

    def feed(self, data: bytes) -> None:
        """Take bytes in."""
        self._rest += data

    def frames(self) -> Iterator[Frame]:
        """Yield the complete frames; the caller may stop at any of them and continue later.

        Raises:
            SmuxError: The version or the command is not one of smux v1.
        """
        # A bytearray with views on it cannot grow, so new bytes go to another buffer.
        buffer, self._rest = self._rest, bytearray()
        view = memoryview(buffer)
        position = 0
        try:
            while len(view) - position >= FRAME_HEADER.size:
                version, command, length, stream = FRAME_HEADER.unpack_from(view, position)
                if version != VERSION or command > NOP:
                    raise SmuxError(f"version {version}, command {command}")
                begin = position + FRAME_HEADER.size
                end = begin + (length if command == PSH else 0)
                if end > len(view):
                    break
                position = end
                yield Frame(command, stream, view[begin:end])
        finally:
            self._rest[:0] = view[position:]
