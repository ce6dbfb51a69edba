"""Small files on this machine: read whole, written under another name, renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat

from sm_proxy.transfer.model import SMALL, Entry

MOST = 4 * SMALL
"""A file that grew to more bytes than this since it was listed is not copied as a small one."""
_BINARY = getattr(os, "O_BINARY", 0)
_NEVER_WAIT = getattr(os, "O_NONBLOCK", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def digest(data: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read(path: str) -> tuple[bytes, os.stat_result]:
    """A small file, and its attributes. It did not change while it was read.

    Raises:
        OSError: it cannot be read, is no file, too large, or changes.
    """
    handle = os.open(path, os.O_RDONLY | _BINARY | _NEVER_WAIT)  # a FIFO would wait for a writer
    with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise OSError("it is no longer a file")
        data = file.read(MOST + 1)
        seen = os.fstat(handle)
    if len(data) > MOST:
        raise OSError("it grew while it was copied")
    if (before.st_mtime_ns, before.st_size) != (seen.st_mtime_ns, seen.st_size):
        raise OSError("it changed while it was read")
    return data, seen


def earlier(path: str, entry: Entry) -> str | None:
    """The digest of what an earlier run left at `path`, if size and time are those of the source.

    Only that they are the same bytes proves that it need not be sent again.
    """
    try:
        seen = os.lstat(path)
        if stat.S_ISREG(seen.st_mode) and is_unchanged(entry, seen.st_size, int(seen.st_mtime)):
            return digest(read(path)[0])
    except OSError:
        pass
    return None


def is_unchanged(entry: Entry, size: int | None, modified: int | None) -> bool:
    """Whether size and time are those of the source."""
    return (size, modified) == (entry.size, entry.modified)


def write(path: str, data: bytes, entry: Entry) -> None:
    """Write a new file with the mode and times of an entry; what had the name before is removed.

    Raises:
        OSError: it cannot be written; nothing is left.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - many
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _NO_LINK
    handle = os.open(path, flags, 0o600)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(data)
        os.utime(path, (entry.accessed, entry.modified))
        os.chmod(path, entry.mode)  # noqa: PTH101
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
        raise
