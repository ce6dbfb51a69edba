"""smux version 1, the stream protocol inside the channel, for one stream from the client's side.

The port-forwarding documents carry it when both ends are new enough. A frame is

    version (1)  command (1)  length (2, little-endian)  stream id (4, little-endian)  data

and frames span AgentMessages freely: each direction is one byte stream
(xtaci/smux as vendored by the agent: frame.go:8-37,57-68). There is no half-close: the agent's FIN
ends both directions, and so does ours.
"""

from __future__ import annotations

import struct
from typing import Final

_LAYOUT: Final = struct.Struct("<BBHI")
_VERSION: Final = 1
_SYN, _FIN, _PSH, _NOP = range(4)
_STREAM: Final = 3
"""The first stream id of a client (session.go:98-127)."""
HEADER_BYTES: Final = _LAYOUT.size


class SmuxError(ValueError):
    """The bytes are not smux version 1."""


def open_stream() -> bytes:
    """The frame that opens the stream. The agent then dials; it does not answer the frame."""
    return _LAYOUT.pack(_VERSION, _SYN, 0, _STREAM)


def close_stream() -> bytes:
    """The frame that closes the stream in both directions."""
    return _LAYOUT.pack(_VERSION, _FIN, 0, _STREAM)


def data_frame(data: bytes) -> bytes:
    """The frame that carries `data`, at most 65,535 bytes."""
    return _LAYOUT.pack(_VERSION, _PSH, len(data), _STREAM) + data


class Reader:
    """Takes the agent's bytes in any split and gives the stream's data.

    `ended` becomes true at the agent's FIN. Later bytes are ignored.
    """

    def __init__(self) -> None:
        self.ended = False
        self._header = bytearray()
        self._missing = 0
        self._ours = False

    def feed(self, data: bytes) -> bytes:
        """The stream's data in `data`.

        Raises:
            SmuxError: another version, or an unknown command.
        """
        view = memoryview(data)
        out: list[memoryview] = []
        while view and not self.ended:
            if self._missing:
                chunk, view = view[: self._missing], view[self._missing :]
                self._missing -= len(chunk)
                if self._ours:
                    out.append(chunk)
                continue
            wanted = _LAYOUT.size - len(self._header)
            self._header += view[:wanted]
            view = view[wanted:]
            if len(self._header) == _LAYOUT.size:
                self._on_header()
        return b"".join(out)

    def _on_header(self) -> None:
        version, command, length, stream = _LAYOUT.unpack(self._header)
        self._header.clear()
        if version != _VERSION or command > _NOP:
            raise SmuxError(f"the agent sent a smux frame of version {version}, command {command}")
        self._missing = length
        self._ours = command == _PSH and stream == _STREAM
        self.ended = command == _FIN and stream == _STREAM
