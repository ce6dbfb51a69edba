"""smux version 1, the protocol of the streams inside the channel, from the client's side.

The port-forwarding documents carry it when both ends are new enough. A frame is

    version (1)  command (1)  length (2, little-endian)  stream id (4, little-endian)  data

and frames span AgentMessages freely: each direction is one byte stream
(xtaci/smux as vendored by the agent: frame.go:8-37,57-68). There is no half-close: the agent's FIN
ends both directions of its stream, and so does ours.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

_LAYOUT: Final = struct.Struct("<BBHI")
_VERSION: Final = 1
_SYN, _FIN, _PSH, _NOP = range(4)
FIRST: Final = 3
"""The first stream id of a client; the next ones are 5, 7 and so on (session.go:98-127)."""
STEP: Final = 2
HEADER_BYTES: Final = _LAYOUT.size

Piece = tuple[int, memoryview | None]
"""A stream's id and some bytes of it; None at its end."""


class SmuxError(ValueError):
    """The bytes are not smux version 1."""


def open_stream(stream: int = FIRST) -> bytes:
    """The frame that opens a stream. The agent then dials; it does not answer the frame."""
    return _LAYOUT.pack(_VERSION, _SYN, 0, stream)


def close_stream(stream: int = FIRST) -> bytes:
    """The frame that closes a stream in both directions."""
    return _LAYOUT.pack(_VERSION, _FIN, 0, stream)


def data_frame(data: bytes, stream: int = FIRST) -> bytes:
    """The frame that carries `data`, at most 65,535 bytes."""
    return _LAYOUT.pack(_VERSION, _PSH, len(data), stream) + data


class Reader:
    """Takes the agent's bytes in any split and tells which belong to which stream."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._missing = 0
        self._stream: int | None = None

    def feed(self, data: bytes) -> Iterator[Piece]:
        """The pieces in `data`, in their order; they are views of it. Take all of them.

        Raises:
            SmuxError: another version, or an unknown command.
        """
        view, at = memoryview(data), 0
        while at < len(view):
            if self._missing:
                chunk = view[at : at + self._missing]
                at += len(chunk)
                self._missing -= len(chunk)
                if self._stream is not None:
                    yield self._stream, chunk
                continue
            if not self._header and len(view) - at >= HEADER_BYTES:
                ended = self._on_header(_LAYOUT.unpack_from(view, at))
                at += HEADER_BYTES
            else:
                wanted = HEADER_BYTES - len(self._header)
                self._header += view[at : at + wanted]
                at += wanted
                if len(self._header) < HEADER_BYTES:
                    return
                ended = self._on_header(_LAYOUT.unpack(self._header))
                self._header.clear()
            if ended is not None:
                yield ended, None

    def _on_header(self, header: tuple[int, int, int, int]) -> int | None:
        """Begin a frame; returns the stream that it ends, if it does."""
        version, command, length, stream = header
        if version != _VERSION or command > _NOP:
            raise SmuxError(f"the agent sent a smux frame of version {version}, command {command}")
        self._missing = length
        self._stream = stream if command == _PSH else None
        return stream if command == _FIN else None
