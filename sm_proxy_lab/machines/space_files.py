"""The files of a space by SFTP."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import paramiko

T = TypeVar("T")


class SftpServer(paramiko.SFTPServer):  # type: ignore[misc]
    """paramiko's, which leaves out the exit status: scp then reports a failure."""

    def start_subsystem(self, name: str, transport: Any, channel: Any) -> None:
        """Serve until the client has said all."""
        super().start_subsystem(name, transport, channel)
        with contextlib.suppress(OSError):
            channel.send_exit_status(0)


class _File(paramiko.SFTPHandle):  # type: ignore[misc]
    """An open file."""

    def __init__(self, file: Any, flags: int) -> None:
        super().__init__(flags)
        self.readfile = self.writefile = file

    def stat(self) -> Any:
        """Its attributes."""
        return _attempt(lambda: _attributes(os.fstat(self.readfile.fileno())))

    def chattr(self, attr: Any) -> Any:
        """Change its attributes."""
        return _attempt(lambda: _change(self.readfile.fileno(), attr))


class SpaceFiles(paramiko.SFTPServerInterface):  # type: ignore[misc]
    """The files that the server's own user may see.

    Args:
        home: where relative paths begin.
    """

    def __init__(self, _server: Any, home: str) -> None:
        self._home = home

    def canonicalize(self, path: str) -> str:
        """The absolute path without `.` and `..`."""
        return os.path.normpath(self._at(path))

    def list_folder(self, path: str) -> Any:
        """The attributes of a folder's entries, and their names."""

        def entries() -> list[Any]:
            return [
                _attributes(entry.stat(follow_symlinks=False), entry.name)
                for entry in os.scandir(self._at(path))
            ]

        return _attempt(entries)

    def stat(self, path: str) -> Any:
        """The attributes of what a path leads to."""
        return _attempt(lambda: _attributes(self._at(path).stat()))

    def lstat(self, path: str) -> Any:
        """The attributes of what is at a path."""
        return _attempt(lambda: _attributes(self._at(path).lstat()))

    def open(self, path: str, flags: int, attr: Any) -> Any:
        """An open file."""

        def opened() -> _File:
            mode = 0o666 if attr.st_mode is None else attr.st_mode & 0o7777
            handle = os.open(self._at(path), flags | os.O_CLOEXEC, mode)
            kind = {os.O_RDONLY: "rb", os.O_WRONLY: "wb"}.get(flags & os.O_ACCMODE, "r+b")
            return _File(os.fdopen(handle, kind, 0), flags)

        return _attempt(opened)

    def remove(self, path: str) -> Any:
        """Remove a file."""
        return _attempt(lambda: self._at(path).unlink())

    def rename(self, oldpath: str, newpath: str) -> Any:
        """Rename, unless the new name is taken: so says version 3 of the protocol."""
        if os.path.lexists(self._at(newpath)):
            return paramiko.SFTP_FAILURE
        return self.posix_rename(oldpath, newpath)

    def posix_rename(self, oldpath: str, newpath: str) -> Any:
        """Rename over what has the new name."""
        return _attempt(lambda: self._rename(oldpath, newpath))

    def mkdir(self, path: str, attr: Any) -> Any:
        """Make a folder."""
        mode = 0o777 if attr.st_mode is None else attr.st_mode & 0o7777
        return _attempt(lambda: self._at(path).mkdir(mode))

    def rmdir(self, path: str) -> Any:
        """Remove an empty folder."""
        return _attempt(lambda: self._at(path).rmdir())

    def chattr(self, path: str, attr: Any) -> Any:
        """Change the attributes of a file."""
        return _attempt(lambda: _change(self._at(path), attr))

    def symlink(self, target_path: str, path: str) -> Any:
        """Make a symbolic link."""
        return _attempt(lambda: self._at(path).symlink_to(target_path))

    def readlink(self, path: str) -> Any:
        """Where a symbolic link leads."""
        return _attempt(lambda: str(self._at(path).readlink()))

    def _rename(self, oldpath: str, newpath: str) -> None:
        self._at(oldpath).rename(self._at(newpath))

    def _at(self, path: str) -> Path:
        return Path(self._home, path)


def _attempt(action: Callable[[], T]) -> Any:
    """The action's result, success if it has none, or the status for its error."""
    try:
        result = action()
    except OSError as error:
        return paramiko.SFTPServer.convert_errno(error.errno)
    return paramiko.SFTP_OK if result is None else result


def _attributes(found: os.stat_result, name: str | None = None) -> Any:
    return paramiko.SFTPAttributes.from_stat(found, name)


def _change(what: Path | int, attr: Any) -> None:
    if attr.st_size is not None:
        os.truncate(what, attr.st_size)
    if attr.st_mode is not None:
        os.chmod(what, attr.st_mode & 0o7777)  # noqa: PTH101 - or a descriptor
    if attr.st_uid is not None and attr.st_gid is not None:
        os.chown(what, attr.st_uid, attr.st_gid)
    if attr.st_atime is not None and attr.st_mtime is not None:
        os.utime(what, (attr.st_atime, attr.st_mtime))
