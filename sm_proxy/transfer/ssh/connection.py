"""One ssh into a container that speaks SFTP to this process, and what its users may call."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.transfer.ssh.ssh_process import SshProcess
from sm_proxy.tunnel.blocking_socket import import_paramiko


@dataclass(frozen=True)
class Answer:
    """What a script in the container printed, and its exit status.

    Attributes:
        status: of the script.
        output: its stdout; bytes that are not UTF-8 are surrogates (`surrogateescape`), as in all
            paths of the other side.
    """

    status: int
    output: str


class FileLike(Protocol):
    """An open file of the other side: those methods of `paramiko.SFTPFile` that both ways have.

    Offsets are in bytes. A read or write that goes on where the last one ended is the cheapest.
    """

    def seek(self, offset: int, whence: int = 0, /) -> Any:
        """Move to an offset; `whence` is 0 (from the start) only."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes from the current offset; empty at the end."""

    def readv(self, chunks: Sequence[tuple[int, int]], /) -> Iterable[bytes]:
        """The bytes of each `(offset, size)`, in this order; all are asked for at once."""

    def write(self, data: bytes, /) -> Any:
        """Write at the current offset."""

    def set_pipelined(self, pipelined: bool = True, /) -> Any:
        """Whether writes wait for no answer; then `close` raises what went wrong."""

    def stat(self) -> Any:
        """As `SftpLike.stat`, of this file."""

    def close(self) -> None:
        """Close it; raises what an earlier write ran into."""

    def __enter__(self) -> FileLike:  # noqa: PYI034 - Self is 3.11
        """Itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Close it."""


class SftpLike(Protocol):
    """Those methods of `paramiko.SFTPClient` that exist without an SFTP server, too.

    Paths are text; bytes that are not UTF-8 are surrogates (`surrogateescape`), in both directions.
    The attributes of a file are those of `paramiko.SFTPAttributes`: `filename`, `st_mode`,
    `st_size`, `st_mtime`, `st_atime`, `st_uid`, `st_gid`. A hostile server may leave out any: None.

    All methods raise `OSError` with an `errno` (ENOENT, EACCES) or a text, if it is about the file;
    ask `Connection.failure` whether the connection is lost.
    """

    def open(self, filename: str, mode: str = "r", bufsize: int = -1) -> FileLike:
        """Open a file: `r`, `w` (made, truncated), `r+` (exists), `a`; `x` adds: must not exist."""

    def listdir_attr(self, path: str = ".") -> list[Any]:
        """The entries of a folder without `.` and `..`; links are not followed."""

    def stat(self, path: str) -> Any:
        """The attributes of a file; links are followed."""

    def lstat(self, path: str) -> Any:
        """The attributes of a file or link."""

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """Make a folder."""

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""

    def rename(self, oldpath: str, newpath: str) -> None:
        """Rename; fails if the new name exists."""

    def posix_rename(self, oldpath: str, newpath: str) -> None:
        """Rename; replaces what has the new name."""

    def chmod(self, path: str, mode: int) -> None:
        """Set the permission bits."""

    def utime(self, path: str, times: tuple[float, float] | None) -> None:
        """Set the times of access and modification, in Unix seconds."""

    def remove(self, path: str) -> None:
        """Remove a file or link."""

    def readlink(self, path: str) -> str | None:
        """What a link points to."""

    def normalize(self, path: str) -> str:
        """The absolute path without links; `.` is the user's home folder."""


class Connection:
    """One ssh into the container. One thread at a time uses it; `close` may be called in any.

    Args:
        number: 1 for the first, then upwards; a replacement gets a new one.
        sftp: over the ssh of `process`.
        process: ssh.
        compressed: whether ssh compresses.
        on_close: called once, after it is closed.

    Attributes:
        number: as given.
        sftp: a `paramiko.SFTPClient`, or a stand-in if there is no SFTP server.
        process: as given.
        compressed: as given.
    """

    def __init__(
        self,
        number: int,
        sftp: SftpLike,
        process: SshProcess,
        *,
        compressed: bool,
        on_close: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        self.number = number
        self.sftp = sftp
        self.compressed = compressed
        self.process = process
        self._on_close = on_close
        self._why: SmProxyError | None = None

    @property
    def alive(self) -> bool:
        """Whether it can still be used, as far as is known."""
        return not self.process.wire.lost

    def lost_error(self) -> SmProxyError:
        """Why it has ended; the first answer stays."""
        if self._why is None:
            self._why = self.process.lost_error()
        return self._why

    def failure(self, error: Exception) -> SmProxyError | None:
        """Why the connection is lost, if it is; None if `error` is about a file.

        Args:
            error: what a method of `sftp` raised.
        """
        paramiko = import_paramiko()
        garbled = (paramiko.SSHException, paramiko.SFTPError, struct.error)
        if self.alive and isinstance(error, garbled):
            self.process.wire.lose(f"its SFTP server broke the protocol: {printable(str(error))}")
        return None if self.alive else self.lost_error()

    def close(self) -> None:
        """End ssh and the session below it; does nothing the second time."""
        self.process.close()
        self._on_close(self)
