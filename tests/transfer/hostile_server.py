"""An SFTP server that answers whatever a test wants."""

from __future__ import annotations

import contextlib
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator, Sequence

from paramiko import sftp

from sm_proxy.transfer.ssh.connection import Connection
from tests.transfer import sftp_server

Answer = Callable[[int, bytes], "bytes | None"]
"""Gives the reply, without the number, to a request's kind and body; None says "no such file"."""


def text(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def attributes(mode: int = stat.S_IFREG | 0o644, size: int = 1) -> bytes:
    return struct.pack(">IQIII", 0x1 | 0x4 | 0x8, size, mode, 2, 1)


def names(found: Sequence[tuple[bytes, bytes]]) -> bytes:
    entries = b"".join(text(name) + text(b"") + about for name, about in found)
    return bytes([sftp.CMD_NAME]) + struct.pack(">I", len(found)) + entries


def status(code: int) -> bytes:
    return (
        bytes([sftp.CMD_STATUS]) + struct.pack(">I", code) + text(b"\x1b]0;owned\x07") + text(b"")
    )


class Folders:
    """Answers listings: of each folder the same names, as often as wanted.

    Args:
        found: names and attributes.
        times: how often the names of a folder are sent before its end.
    """

    def __init__(self, found: Sequence[tuple[bytes, bytes]], times: int = 1) -> None:
        self.found, self.times, self.sent = found, times, 0

    def __call__(self, kind: int, body: bytes) -> bytes | None:
        if kind in {sftp.CMD_STAT, sftp.CMD_LSTAT}:
            return bytes([sftp.CMD_ATTRS]) + attributes(stat.S_IFDIR | 0o755)
        if kind == sftp.CMD_REALPATH:
            return names([(body[4:], attributes())])
        if kind == sftp.CMD_OPENDIR:
            self.sent = 0
            return bytes([sftp.CMD_HANDLE]) + text(b"handle")
        if kind == sftp.CMD_READDIR:
            self.sent += 1
            return names(self.found) if self.sent <= self.times else status(sftp.SFTP_EOF)
        return status(sftp.SFTP_OK)


@contextlib.contextmanager
def connection(answer: Answer) -> Iterator[Connection]:
    """A connection to a server that answers so."""
    ours, theirs = socket.socketpair()
    server = threading.Thread(target=_serve, args=(theirs, answer))
    server.start()
    one = sftp_server.as_connection(ours)
    try:
        yield one
    finally:
        one.close()
        server.join(10)


def _serve(end: socket.socket, answer: Answer) -> None:
    with end, end.makefile("rb") as requests, contextlib.suppress(OSError):
        while header := requests.read(5):
            length, kind = struct.unpack(">IB", header)
            body = requests.read(length - 1)
            if kind == sftp.CMD_INIT:
                reply = bytes([sftp.CMD_VERSION]) + struct.pack(">I", 3)
            else:
                told = answer(kind, body[4:]) or status(sftp.SFTP_NO_SUCH_FILE)
                reply = told[:1] + body[:4] + told[1:]
            end.sendall(struct.pack(">I", len(reply)) + reply)
