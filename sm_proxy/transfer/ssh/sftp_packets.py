"""Packets of SFTP version 3: requests as values, and the replies to them.

The format is that of draft-ietf-secsh-filexfer-02; the extensions are in OpenSSH's PROTOCOL.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import Final, TypeAlias

from paramiko import sftp
from paramiko.message import Message
from paramiko.ssh_exception import SSHException

from sm_proxy.errors import printable

CHUNK: Final = 32 * 1024
"""The most that every server reads or writes in one request, in bytes."""
LARGEST: Final = 1024 * 1024
"""No reply of a sane server is longer; OpenSSH's limit is 256 KiB."""
_SIZE, _OWNER, _MODE, _TIMES, _EXTENDED = 0x1, 0x2, 0x4, 0x8, 0x80000000
_SHORTEST_NAME: Final = 12  # two empty strings and no attributes, in bytes
_RENAME: Final = "posix-rename@openssh.com"
_EXPAND: Final = "expand-path@openssh.com"


@dataclass(frozen=True)
class Attributes:
    """What a server says about a file, or is told. None is what it does not say.

    Attributes:
        size: in bytes.
        mode: type and permission bits, as in `stat`.
        accessed: in Unix seconds.
        modified: in Unix seconds.
    """

    size: int | None = None
    mode: int | None = None
    accessed: int | None = None
    modified: int | None = None

    @property
    def type(self) -> int:
        """The type bits of the mode; 0 if it is unknown."""
        return stat.S_IFMT(self.mode or 0)


Names: TypeAlias = list[tuple[str, Attributes]]
Reply: TypeAlias = bytes | Attributes | Names | OSError | None
"""Handle or data, attributes, names, a failure, or that it was done. EOF is `b""`."""


@dataclass(frozen=True)
class Request:
    """One request. Which attributes count depends on its kind.

    Attributes:
        kind: of the numbers in `paramiko.sftp`.
        path: in the container; bytes that are not UTF-8 are surrogates.
        other: the new name.
        handle: of an open file or folder.
        flags: for `open`, of `paramiko.sftp`.
        offset: in bytes.
        length: to read, in bytes.
        data: to write.
        attributes: to set.
    """

    kind: int
    path: str = ""
    other: str = ""
    handle: bytes = b""
    flags: int = 0
    offset: int = 0
    length: int = 0
    data: bytes = b""
    attributes: Attributes = Attributes()


def opened(path: str) -> Request:
    """Open for reading."""
    return Request(sftp.CMD_OPEN, path, flags=sftp.SFTP_FLAG_READ)


def created(path: str) -> Request:
    """Open a new file for writing, as the user's alone; fails if there is any, even a link."""
    flags = sftp.SFTP_FLAG_WRITE | sftp.SFTP_FLAG_CREATE | sftp.SFTP_FLAG_EXCL
    return Request(sftp.CMD_OPEN, path, flags=flags, attributes=Attributes(mode=0o600))


def closed(handle: bytes) -> Request:
    """Close."""
    return Request(sftp.CMD_CLOSE, handle=handle)


def renamed(old: str, new: str) -> Request:
    """Rename, and replace what has the new name."""
    return Request(sftp.CMD_EXTENDED, old, new)


def expanded(path: str) -> Request:
    """The path that `~user/...` stands for."""
    return Request(sftp.CMD_EXTENDED, path)


def to_wire(path: str) -> bytes:
    """The bytes of a path of the container."""
    return path.encode("utf-8", "surrogateescape")


def encode(request: Request, number: int) -> bytes:
    """The packet of a request, with its length."""
    message = Message()
    message.add_int(number)
    if request.kind == sftp.CMD_EXTENDED:
        message.add_string(_RENAME if request.other else _EXPAND)
    message.add_string(request.handle or to_wire(request.path))
    if request.other:
        message.add_string(to_wire(request.other))
    if request.kind == sftp.CMD_OPEN:
        message.add_int(request.flags)
    if request.kind in {sftp.CMD_READ, sftp.CMD_WRITE}:
        message.add_int64(request.offset)
    if request.kind == sftp.CMD_READ:
        message.add_int(request.length)
    if request.kind == sftp.CMD_WRITE:
        message.add_string(request.data)
    if request.kind in {sftp.CMD_OPEN, sftp.CMD_MKDIR, sftp.CMD_SETSTAT}:
        _add_attributes(message, request.attributes)
    body: bytes = bytes([request.kind]) + message.asbytes()
    return len(body).to_bytes(4, "big") + body


def _add_attributes(message: Message, attributes: Attributes) -> None:
    times = attributes.modified is not None
    message.add_int((_MODE if attributes.mode is not None else 0) | (_TIMES if times else 0))
    if attributes.mode is not None:
        message.add_int(stat.S_IMODE(attributes.mode))
    if attributes.modified is not None:
        message.add_int(_seconds(attributes.accessed or attributes.modified))
        message.add_int(_seconds(attributes.modified))


def _seconds(time: int) -> int:
    """A time as SFTP has it: 32 bits, from 1970 to 2106."""
    return min(max(time, 0), 0xFFFFFFFF)


def decode(packet: bytes) -> tuple[int, Reply]:
    """The number of the request that a packet replies to, and the reply.

    Args:
        packet: without its length.

    Raises:
        SSHException: it makes no sense.
    """
    message = Message(packet[1:])
    number = message.get_int()
    kind = packet[0] if packet else 0
    if kind == sftp.CMD_STATUS:
        return number, _status(message.get_int(), message.get_string())
    if kind in {sftp.CMD_HANDLE, sftp.CMD_DATA}:
        # An empty handle or no data at all would pass for another reply.
        return number, message.get_string() or OSError("the server sent an empty reply")
    if kind == sftp.CMD_ATTRS:
        return number, _attributes(message)
    if kind == sftp.CMD_NAME:
        return number, _names(message, len(packet) // _SHORTEST_NAME)
    raise SSHException(f"the SFTP server sent a packet of type {kind}")


def _status(code: int, text: bytes) -> Reply:
    if code == sftp.SFTP_OK:
        return None
    if code == sftp.SFTP_EOF:
        return b""
    number = {
        sftp.SFTP_NO_SUCH_FILE: errno.ENOENT,
        sftp.SFTP_PERMISSION_DENIED: errno.EACCES,
        sftp.SFTP_OP_UNSUPPORTED: errno.EOPNOTSUPP,
    }.get(code)
    if number:
        return OSError(number, os.strerror(number))
    return OSError(f"the server says: {printable(text.decode('utf-8', 'replace'), 200)}")


def _names(message: Message, most: int) -> Names:
    names: Names = []
    count = message.get_int()
    if count > most:
        raise SSHException("the SFTP server sent fewer names than it says")
    for _ in range(count):
        name = message.get_string().decode("utf-8", "surrogateescape")
        message.get_string()  # as `ls -l` shows it
        names.append((name, _attributes(message)))
    return names


def _attributes(message: Message) -> Attributes:
    flags = message.get_int()
    size = message.get_int64() if flags & _SIZE else None
    if flags & _OWNER:
        message.get_int64()  # user and group
    mode = message.get_int() if flags & _MODE else None
    accessed = message.get_int() if flags & _TIMES else None
    modified = message.get_int() if flags & _TIMES else None
    for _ in range(min(message.get_int(), 1000) if flags & _EXTENDED else 0):
        message.get_string()
        message.get_string()
    return Attributes(size, mode, accessed, modified)
