r"""What a launcher and the daemon say to each other on a Unix stream socket.

    launcher                                daemon, then its child
                                     <-     READY
                                            (or REFUSED and the end: it is in another place)
    request, with descriptors        ->
                                     <-     TAKEN, or REFUSED and the end
    GO                               ->
                                            the child works
    a signal's number, as one byte   ->
                                     <-     PASSED, COPYING (fd_passing.py), or GIVEN_BACK
                                     <-     ENDED and the exit status, as one byte

The launcher sends no descriptor before READY: a daemon that is stopped would hold it, and whoever
reads ssh's output to its end would wait for that. It waits for READY and for TAKEN for a bounded
time. If it gives up, it closes the socket and does the work itself. So the child touches none of
the descriptors before GO, and ends if it gets anything else.

After GO, the launcher lets go of its descriptors. GIVEN_BACK brings 0, 1 and 2 with it, and the
launcher does the work itself after all: only its process has the user's terminal. The child may say
so until it has passed a descriptor or a byte. The end of the socket without ENDED means: the child
has been killed.

A request is its length (4 bytes, big-endian), then fields that each end in a NUL:
kind, identity, umask (octal), number of words, words, environment (NAME=VALUE). Its descriptors
come with its first byte.

The launcher imports this module: import nothing here that is not built in (see peers.py).
"""

from __future__ import annotations

import _socket
import os
import sys
from _collections_abc import Sequence

from sm_proxy.local.helper_words import COPYING, PASSED

__all__ = ["COPYING", "ENDED", "GIVEN_BACK", "GO", "PASSED", "READY", "REFUSED", "TAKEN"]

READY = b"y"
"""A child is there to read the request."""
TAKEN = b"t"
"""A child is ready to do the work."""
REFUSED = b"r"
"""The daemon has other code than the launcher, is in another place, or is about to end."""
GO = b"g"
"""The launcher has read TAKEN: from now on, the descriptors are the child's."""
GIVEN_BACK = b"b"
"""The launcher must do the work itself, with the descriptors 0, 1 and 2 that come with this."""
ENDED = b"e"
"""The next byte is the exit status."""

LARGEST = 8 << 20
"""Bytes of a request at most: Linux gives a program no more than 6 MiB of words and variables."""
DESCRIPTORS = 4
"""What comes with a request to connect: stdin, stdout, stderr and the working folder."""
_HEAD = 4
_CHUNK = 1 << 18
_NUMBER = 4
"""Bytes of an `int` in C; the module `array` would import others."""
_CLOEXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)


class Request:
    """What the launcher asks of the daemon.

    Args:
        kind: `connect`, or what a command asks of the daemon.
        identity: of the launcher's code and place (`place.identity`).
        words: the command line, without the program.
        environment: all variables, `NAME=VALUE`.
        umask: of the launcher.
    """

    def __init__(
        self,
        kind: str,
        identity: str,
        words: Sequence[bytes] = (),
        environment: Sequence[bytes] = (),
        umask: int = 0o77,
    ) -> None:
        self.kind = kind
        self.identity = identity
        self.words = list(words)
        self.environment = list(environment)
        self.umask = umask

    def encode(self) -> bytes:
        """The request as it is sent.

        Raises:
            ValueError: it is too large, or a word has a NUL.
        """
        head = (self.kind, self.identity, f"{self.umask:o}", str(len(self.words)))
        fields = [*(os.fsencode(field) for field in head), *self.words, *self.environment]
        body = b"".join(field + b"\0" for field in fields)
        if body.count(b"\0") != len(fields):
            raise ValueError("a word has a NUL in it")
        if len(body) > LARGEST:
            raise ValueError(f"the environment is larger than {LARGEST} bytes")
        return len(body).to_bytes(_HEAD, "big") + body

    @classmethod
    def decode(cls, body: bytes) -> Request:
        """The request that these bytes are, without their length.

        Raises:
            ValueError: they are none.
        """
        *fields, rest = body.split(b"\0")
        if rest or len(fields) < 4:
            raise ValueError("the request is cut off")
        kind, identity, umask, number = (os.fsdecode(field) for field in fields[:4])
        words, mask = int(number), int(umask, 8)
        if not (0 <= words <= len(fields) - 4 and 0 <= mask <= 0o777):
            raise ValueError("the request contradicts itself")
        return cls(kind, identity, fields[4 : 4 + words], fields[4 + words :], mask)


def send_request(
    connection: _socket.socket,
    request: Request,
    descriptors: Sequence[int],
    *,
    is_ready: bool = False,
) -> None:
    """Send a request once a child is ready to read it.

    Args:
        connection: to the daemon.
        request: what it shall do.
        descriptors: what comes with it.
        is_ready: whether READY has been read.

    Raises:
        PermissionError: the daemon serves another place.
        OSError: it has gone or does not read, or a descriptor is closed.
        ValueError: as `Request.encode`.
    """
    data = request.encode()
    answer = READY if is_ready else connection.recv(1)
    if answer != READY:
        raise PermissionError("refused") if answer else ConnectionResetError("it went away")
    sent = send_with(connection, data, descriptors)
    if sent < len(data):  # else the answer may have come, and the other end be closed
        connection.sendall(memoryview(data)[sent:])


def give_back(connection: _socket.socket) -> None:
    """Tell the launcher to do the work itself; it gets the descriptors 0, 1 and 2 back.

    Raises:
        OSError: the launcher has gone.
    """
    send_with(connection, GIVEN_BACK, (0, 1, 2))


def end(connection: _socket.socket, status: int) -> None:
    """Tell the launcher its exit status.

    Raises:
        OSError: the launcher has gone.
    """
    connection.sendall(ENDED + bytes([status & 0xFF]))


def receive_word(connection: _socket.socket) -> tuple[bytes, list[int]]:
    """One byte, or none at the end of the socket, and the descriptors that came with it.

    Raises:
        OSError: the connection is lost.
    """
    word, found, _ = receive_with(connection, 1, 3)
    return word, found


class RequestReader:
    """Reads one request, in as many pieces as it comes in.

    The descriptors in it belong to the caller, who closes them in any case.
    """

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        self._data = bytearray()

    def receive(self, connection: _socket.socket) -> Request | None:
        """Read what has come; the request if it is whole, else None.

        Raises:
            ValueError: it is none, too large, or has too many descriptors.
            EOFError: the launcher has gone.
            OSError: the connection is lost; BlockingIOError, nothing has come.
        """
        data, found, is_cut = receive_with(connection, _CHUNK, DESCRIPTORS)
        self.descriptors += found
        if is_cut or len(self.descriptors) > DESCRIPTORS:
            raise ValueError("the request has too many descriptors")
        if not data:
            raise EOFError("the launcher has gone")
        self._data += data
        if len(self._data) < _HEAD:
            return None
        length = int.from_bytes(self._data[:_HEAD], "big")
        if length > LARGEST or len(self._data) > _HEAD + length:
            raise ValueError("the request is too long")
        if len(self._data) < _HEAD + length:
            return None
        return Request.decode(bytes(self._data[_HEAD:]))


def send_with(connection: _socket.socket, data: bytes, descriptors: Sequence[int]) -> int:
    """Send bytes, and descriptors with the first of them; returns how many bytes were sent.

    Raises:
        OSError: the other end has gone or does not read, or a descriptor is closed.
    """
    numbers = b"".join(number.to_bytes(_NUMBER, sys.byteorder) for number in descriptors)
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)] if descriptors else []
    return connection.sendmsg([data], rights)


def receive_with(connection: _socket.socket, size: int, most: int) -> tuple[bytes, list[int], bool]:
    """Bytes, the descriptors that came with them, and whether more came than there was room for.

    Args:
        connection: what to read.
        size: how many bytes at most.
        most: how many descriptors there is room for. No program that we start inherits them.

    Raises:
        OSError: the connection is lost; BlockingIOError, nothing has come.
    """
    room = _socket.CMSG_SPACE(most * _NUMBER)
    data, messages, flags, _ = connection.recvmsg(size, room, _CLOEXEC)
    numbers = [
        int.from_bytes(content[start : start + _NUMBER], sys.byteorder)
        for level, kind, content in messages
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
        for start in range(0, len(content) - _NUMBER + 1, _NUMBER)
    ]
    for number in numbers:
        os.set_inheritable(number, False)
    return data, numbers, bool(flags & _socket.MSG_CTRUNC)
