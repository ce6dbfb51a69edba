"""Read and write ranges of one file over SFTP, with several requests in flight.

paramiko's own ways do not fit: `prefetch` and `readv` start a thread for each call, and pipelined
writes drop the server's errors, such as that of a full disk. So while we move bytes, we speak the
four messages that it takes (draft-ietf-secsh-filexfer-02) on paramiko's channel. No request of
paramiko's waits meanwhile, as one thread uses a connection, and our request numbers are not its.
"""

from __future__ import annotations

import errno
import functools
import struct
import time
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, TypeAlias

import paramiko

from sm_proxy.transfer.large.ranges import PIECE
from sm_proxy.transfer.ssh.connection import Connection, FileLike

Ending: TypeAlias = Literal["done", "ended", "stopped"]
"""Nothing was left to claim; the file ended too early; or the caller wanted no more."""
Claim: TypeAlias = Callable[[int], "tuple[int, int] | None"]
"""The next `[start, end)`, given how many bytes of requests are in flight; or None."""

_OPEN, _CLOSE, _READ, _WRITE = 3, 4, 5, 6
_STATUS, _HANDLE, _DATA = 101, 102, 103
_OK, _EOF, _NO_FILE, _DENIED = 0, 1, 2, 3
_READING, _WRITING = 0x01, 0x02
_ANEW: Final = 0x08 | 0x20
"""Create it; it must not exist, so that a planted link is not followed."""
_PERMISSIONS: Final = 0x04
_FIRST_REQUEST: Final = 1 << 31
_LARGEST: Final = PIECE + 1024
"""Bytes of the largest packet that answers one of our requests; also the longest error text."""
_AT_ONCE: Final = 8
"""Packets of one send: few system calls, little memory."""

WINDOW: Final = (128 << 10, 2 << 20)
"""Bytes in flight of one connection: at first and at least; at most (ssh's own window)."""
_AHEAD_S: Final = 0.5
"""Seconds' worth of requests in flight: more than any round trip."""


class RangedFile(Protocol):
    """An open file of the other side."""

    def fetch(self, claim: Claim, arrived: Callable[[int, bytes], bool]) -> Ending:
        """Read what `claim` gives until it gives None.

        `arrived(start, data)` gets it, in any order and perhaps in shorter parts; False stops.
        """

    def store(
        self, claim: Claim, data: Callable[[int, int], bytes], stored: Callable[[int, int], bool]
    ) -> Ending:
        """Write what `claim` gives until it gives None.

        `data(start, end)` has the bytes, fewer if the source ends there; `stored(start, end)` is
        called when the server has confirmed them; False stops.
        """

    def close(self) -> None:
        """Close it."""


def open_to_read(connection: Connection, path: str) -> RangedFile:
    """Open a regular file.

    Raises:
        OSError: the server refuses it.
        paramiko.SSHException: the connection is lost.
    """
    if isinstance(connection.sftp, paramiko.SFTPClient):
        return _SftpFile(connection.sftp.get_channel(), path, _READING)
    return _OneStream(connection.sftp.open(path, "rb"))


def open_to_write(connection: Connection, path: str, *, anew: bool) -> RangedFile:
    """Open a file that only its owner may read; raises as `open_to_read`.

    Args:
        connection: to open it over.
        path: of the file.
        anew: whether to create it, where nothing may have its name; if not, it must exist: a late
            share must not make a file again that has got its name.
    """
    if isinstance(connection.sftp, paramiko.SFTPClient):
        flags = _WRITING | (_ANEW if anew else 0)
        return _SftpFile(connection.sftp.get_channel(), path, flags)
    file = _OneStream(connection.sftp.open(path, "wxb" if anew else "r+b"))
    if anew:
        connection.sftp.chmod(path, 0o600)
    return file


class Window:
    """How many bytes of requests should be in flight: half a second's worth, as measured."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.size = WINDOW[0]
        self._clock = clock
        self._since = clock()
        self._got = 0

    def arrived(self, size: int) -> None:
        """So many bytes were answered."""
        self._got += size
        seconds = self._clock() - self._since
        if seconds >= _AHEAD_S / 2 or self._got >= 2 * self.size:
            least, most = WINDOW
            self.size = int(min(max(least, _AHEAD_S * self._got / max(seconds, 1e-3)), most))
            self._since, self._got = self._clock(), 0


class _SftpFile:
    def __init__(self, channel: Any, path: str, flags: int) -> None:
        self._channel = channel
        self._number = _FIRST_REQUEST
        self._window = Window()
        self._waiting: dict[int, tuple[int, int]] = {}
        self._in_flight = 0
        self._broken = False
        name = path.encode(errors="surrogateescape")
        attributes = struct.pack(">II", _PERMISSIONS, 0o600) if flags != _READING else bytes(4)
        body = struct.pack(f">I{len(name)}sI", len(name), name, flags) + attributes
        self._send(self._packet(_OPEN, body))
        kind, _, answer = self._receive_for({self._number})
        if kind != _HANDLE:
            raise _refusal(kind, answer)
        self._handle = answer  # with its length

    def fetch(self, claim: Claim, arrived: Callable[[int, bytes], bool]) -> Ending:
        while True:
            self._ask(claim, lambda start, end: struct.pack(">QI", start, end - start), _READ)
            if not self._waiting:
                return "done"
            kind, (start, end), answer = self._answer()
            if kind == _STATUS and _code(answer) != _EOF:
                self._drain()
                raise _refusal(kind, answer)
            data = answer[4:]
            if kind != _DATA or not data:
                self._drain()
                return "ended"
            if len(data) > end - start:
                raise paramiko.SFTPError("more bytes than were asked for")
            if not self._delivered(functools.partial(arrived, start, data)):
                return "stopped"

    def store(
        self, claim: Claim, data: Callable[[int, int], bytes], stored: Callable[[int, int], bool]
    ) -> Ending:
        short = False

        def packed(start: int, end: int) -> bytes:
            nonlocal short
            content = data(start, end)
            short = short or len(content) < end - start
            return struct.pack(">QI", start, len(content)) + content

        while True:
            self._ask(claim, packed, _WRITE)
            if short:
                self._drain()
                return "ended"
            if not self._waiting:
                return "done"
            kind, (start, end), answer = self._answer()
            if kind != _STATUS or _code(answer) != _OK:
                self._drain()
                raise _refusal(kind, answer)
            if not self._delivered(functools.partial(stored, start, end)):
                return "stopped"

    def close(self) -> None:
        self._send(self._packet(_CLOSE, self._handle))
        kind, _, answer = self._receive_for({self._number})
        if kind != _STATUS or _code(answer) != _OK:
            raise _refusal(kind, answer)

    def _ask(self, claim: Claim, body: Callable[[int, int], bytes], kind: int) -> None:
        """Send requests until the window is full."""
        packets: list[bytes] = []
        while self._in_flight < self._window.size and not self._broken:
            piece = claim(self._in_flight)
            if piece is None:
                break
            packets.append(self._packet(kind, self._handle + body(*piece)))
            self._waiting[self._number] = piece
            self._in_flight += piece[1] - piece[0]
            if len(packets) == _AT_ONCE:
                self._ask_for(packets)
        self._ask_for(packets)

    def _ask_for(self, packets: list[bytes]) -> None:
        try:
            self._send(b"".join(packets))
        except paramiko.SSHException:  # answers may have arrived: after them, receiving raises
            self._broken = True
        packets.clear()

    def _answer(self) -> tuple[int, tuple[int, int], bytes]:
        kind, number, answer = self._receive_for(self._waiting)
        start, end = self._waiting.pop(number)
        self._in_flight -= end - start
        self._window.arrived(end - start)
        return kind, (start, end), answer

    def _delivered(self, deliver: Callable[[], bool]) -> bool:
        """Call back; if the caller wants no more, or fails, make the connection usable."""
        wanted = False
        try:
            wanted = deliver()
        finally:
            if not wanted:
                self._drain()
        return wanted

    def _drain(self) -> None:
        while self._waiting:
            self._answer()

    def _packet(self, kind: int, body: bytes) -> bytes:
        self._number += 1
        return struct.pack(">IBI", len(body) + 5, kind, self._number) + body

    def _receive_for(self, numbers: Any) -> tuple[int, int, bytes]:
        """The next packet that answers one of our requests: its type, number and content."""
        while True:
            size, kind, number = struct.unpack(">IBI", self._receive(9))
            if not 5 <= size <= _LARGEST:
                raise paramiko.SFTPError(f"a packet of {size} bytes")
            content = self._receive(size - 5)
            if number in numbers:  # else it answers a close that paramiko did not wait for
                return kind, number, content

    def _receive(self, size: int) -> bytes:
        parts = []
        while size:
            try:
                part = self._channel.recv(size)
            except (OSError, EOFError) as error:
                raise paramiko.SSHException(f"the connection broke: {error}") from error
            if not part:
                raise paramiko.SSHException("the connection broke")
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _send(self, packets: bytes) -> None:
        left = memoryview(packets)
        while left:
            try:
                left = left[self._channel.send(left) :]
            except (OSError, EOFError) as error:  # noqa: PERF203 - mostly one round
                raise paramiko.SSHException(f"the connection broke: {error}") from error


class _OneStream:
    """The same without an SFTP server: one request at a time, of several pieces."""

    _PIECES: Final = 32

    def __init__(self, file: FileLike) -> None:
        self._file = file
        self._next: tuple[int, int] | None = None

    def fetch(self, claim: Claim, arrived: Callable[[int, bytes], bool]) -> Ending:
        while pieces := self._pieces(claim):
            self._file.seek(pieces[0][0])
            data = self._file.read(pieces[-1][1] - pieces[0][0])
            for start, end in pieces:
                part, data = data[: end - start], data[end - start :]
                if not part:
                    return "ended"
                if not arrived(start, part):
                    return "stopped"
        return "done"

    def store(
        self, claim: Claim, data: Callable[[int, int], bytes], stored: Callable[[int, int], bool]
    ) -> Ending:
        while pieces := self._pieces(claim):
            begin, end = pieces[0][0], pieces[-1][1]
            content = data(begin, end)
            if len(content) < end - begin:
                return "ended"
            self._file.seek(begin)
            self._file.write(content)
            if not all(stored(*piece) for piece in pieces):
                return "stopped"
        return "done"

    def close(self) -> None:
        self._file.close()

    def _pieces(self, claim: Claim) -> list[tuple[int, int]]:
        """Pieces that follow each other."""
        first, self._next = self._next or claim(0), None
        pieces = [first] if first else []
        while pieces and len(pieces) < self._PIECES:
            self._next = claim(pieces[-1][1] - pieces[0][0])
            if self._next is None or self._next[0] != pieces[-1][1]:
                break
            pieces.append(self._next)
            self._next = None
        return pieces


def _code(answer: bytes) -> int:
    if len(answer) < 4:
        raise paramiko.SFTPError("a status without a code")
    return int.from_bytes(answer[:4], "big")


def _refusal(kind: int, answer: bytes) -> OSError:
    """What a status says, as paramiko raises it."""
    if kind != _STATUS:
        raise paramiko.SFTPError(f"an answer of type {kind}")
    code = _code(answer)
    text = answer[8:].partition(b"\0")[0][: int.from_bytes(answer[4:8], "big")]
    words = text.decode(errors="replace") or f"status {code}"
    number = {_NO_FILE: errno.ENOENT, _DENIED: errno.EACCES}.get(code)
    return OSError(words) if number is None else OSError(number, words)
