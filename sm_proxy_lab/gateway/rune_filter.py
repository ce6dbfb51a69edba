"""What the agent does to the output of a shell before it sends it (agent/session/shell/shell.go).

It reads the bytes as UTF-8. What is no character passes, byte by byte; but a true U+FFFD, which Go
cannot tell from an error, shrinks to its first byte. An error less than four bytes before the end
may be the beginning of a character: the rest is held back until more output comes.
"""

from __future__ import annotations

_REPLACEMENT = "\ufffd".encode()
_LONGEST = 4  # bytes of a character


def split(data: bytes) -> tuple[bytes, bytes]:
    """Return what is sent of `data`, and what is held back and must precede the next output."""
    sent = bytearray()
    start = 0
    while start < len(data):
        error, width = _first_error(data, start)
        sent += data[start:error]
        if len(data) - error < _LONGEST:
            return bytes(sent), data[error:]
        sent.append(data[error])
        start = error + width
    return bytes(sent), b""


def _first_error(data: bytes, start: int) -> tuple[int, int]:
    """Where Go's decoder first reports an error, and how many bytes it then skips."""
    try:
        data[start:].decode()
        end = len(data)
    except UnicodeDecodeError as error:
        end = start + error.start
    replacement = data.find(_REPLACEMENT, start, end)
    return (end, 1) if replacement < 0 else (replacement, len(_REPLACEMENT))
