"""paramiko's SFTPClient, for servers that nobody trusts and names that are not UTF-8.

Import it after `blocking_socket.import_paramiko`, and only once there is a connection.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import paramiko
from paramiko.message import Message
from paramiko.sftp import CMD_NAME, CMD_READLINK, SFTPError

from sm_proxy.transfer.ssh.wire import Wire

__all__ = ["SFTPError", "SftpClient"]

_PACKET_LIMIT: Final = 1 << 20
"""OpenSSH accepts packets of 256 KiB (sftp-common.h: SFTP_MAX_MSG_LENGTH); paramiko 16 MiB."""
_ENCODING: Final = ("utf-8", "surrogateescape")


class SftpClient(paramiko.SFTPClient):  # type: ignore[misc]  # paramiko has no types
    """An SFTP client over ssh's stdin and stdout.

    Args:
        wire: to ssh.

    Raises:
        SFTPError: what comes is not SFTP.
        Exception: the wire is lost.
    """

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)

    def readlink(self, path: str) -> str | None:
        """What a link points to; None if the server does not tell."""
        kind, message = self._request(CMD_READLINK, self._adjust_cwd(path))
        if kind != CMD_NAME:
            raise SFTPError("Expected name response")
        return str(message.get_text()) if message.get_int() == 1 else None

    def _adjust_cwd(self, path: str) -> bytes:
        """The bytes of a path; there is no working folder but the server's own."""
        return path.encode(*_ENCODING)

    def _request(self, kind: int, *words: Any) -> tuple[int, Message]:
        found, message = super()._request(kind, *words)
        return found, _Message(message.get_remainder())

    def _read_packet(self) -> tuple[int, bytes]:
        """One packet; a hostile server cannot make it a large one."""
        (size,) = struct.unpack(">I", self._read_all(4))
        if not 0 < size <= _PACKET_LIMIT:
            raise SFTPError(f"a packet of {size} bytes")
        data = self._read_all(size)
        return data[0], data[1:]


class _Message(Message):  # type: ignore[misc]  # as above
    """A message in which text need not be UTF-8."""

    def get_text(self) -> str:
        """The next string."""
        return str(self.get_string().decode(*_ENCODING))
