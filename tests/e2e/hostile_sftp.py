"""An SFTP server that lies: version 3 of the protocol on stdin and stdout, files only to read.

A container's sshd starts it. The first part of a path is the folder, and tells the lie:

- /names lists names that lead out of the target;
- the files in /short end before their size;
- those in /long go on after it, and answers have more than was asked for;
- answers about /garbage make no sense.
"""

from __future__ import annotations

import os
import stat
import struct
import sys

NAMES = [b"..", b"../up", b"/tmp/absolute", b"a/../../up", b"", b"nul\0", b".", b"good"]
SIZE = 300_000
_INIT, _VERSION, _OPEN, _CLOSE, _READ, _LSTAT, _FSTAT = 1, 2, 3, 4, 5, 7, 8
_OPENDIR, _READDIR, _REALPATH, _STAT = 11, 12, 16, 17
_STATUS, _HANDLE, _DATA, _NAME, _ATTRS = 101, 102, 103, 104, 105
_EOF, _NO_SUCH_FILE, _UNSUPPORTED = 1, 2, 8


class Server:
    """Serves one client."""

    def __init__(self) -> None:
        self.listed = False

    def serve(self) -> None:
        """Answer until the client has gone."""
        while len(head := sys.stdin.buffer.read(4)) == 4:
            body = sys.stdin.buffer.read(struct.unpack(">I", head)[0])
            kind, rest = body[0], body[1:]
            if kind == _INIT:
                self.send(_VERSION, struct.pack(">I", 3))
                continue
            if b"/garbage" in rest:
                sys.stdout.buffer.write(os.urandom(64))
                sys.stdout.buffer.flush()
                return
            number, rest = rest[:4], rest[4:]
            kind, answer = self.answer(kind, rest)
            self.send(kind, number + answer)

    def send(self, kind: int, body: bytes) -> None:
        """Send one packet."""
        sys.stdout.buffer.write(struct.pack(">IB", len(body) + 1, kind) + body)
        sys.stdout.buffer.flush()

    def answer(self, kind: int, rest: bytes) -> tuple[int, bytes]:
        """What is answered to a request."""
        size = struct.unpack(">I", rest[:4])[0] if len(rest) >= 4 else 0
        path = rest[4 : 4 + size]
        if kind in {_STAT, _LSTAT, _FSTAT}:
            return _ATTRS, attributes(is_folder=path.count(b"/") < 2)
        if kind == _REALPATH:
            return _NAME, names([path if path.startswith(b"/") else b"/root"])
        if kind in {_OPEN, _OPENDIR}:
            self.listed = False
            return _HANDLE, text(path[-200:])
        if kind == _READDIR:
            first, self.listed = not self.listed, True
            return (_NAME, names(NAMES)) if first else status(_EOF)
        if kind == _READ:
            return self.read(path, *struct.unpack(">QI", rest[4 + size :]))
        return status(0 if kind == _CLOSE else _UNSUPPORTED)

    def read(self, path: bytes, offset: int, size: int) -> tuple[int, bytes]:
        """Bytes of a file."""
        if path.startswith(b"/long"):
            return _DATA, text(b"x" * (size + 1000))
        end = 1000 if path.startswith(b"/short") else SIZE
        if offset >= end:
            return status(_EOF)
        return _DATA, text(b"x" * min(size, end - offset))


def text(data: bytes) -> bytes:
    """A string of the protocol."""
    return struct.pack(">I", len(data)) + data


def attributes(*, is_folder: bool) -> bytes:
    """Size, mode and times."""
    mode = (stat.S_IFDIR | 0o755) if is_folder else (stat.S_IFREG | 0o644)
    return struct.pack(">IQIII", 1 | 4 | 8, SIZE, mode, 1_700_000_000, 1_700_000_000)


def names(found: list[bytes]) -> bytes:
    """The entries of a folder."""
    rows = [text(name) + text(name) + attributes(is_folder=False) for name in found]
    return struct.pack(">I", len(rows)) + b"".join(rows)


def status(code: int) -> tuple[int, bytes]:
    """A status, with a text that a terminal must not see as it is."""
    return _STATUS, struct.pack(">I", code) + text(b"\x1b]0;pwned\x07 no") + text(b"")


if __name__ == "__main__":
    Server().serve()
