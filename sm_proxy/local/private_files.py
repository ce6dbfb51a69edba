"""Files and folders of ours: private to their owner, and written whole.

They are read only where nobody else could have put something into them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import tempfile
from pathlib import Path

from sm_proxy.local import paths


class NotOursError(PermissionError):
    """Somebody else could have put something into a file or folder, or it is no plain file."""

    def __init__(self, what: str, path: Path) -> None:
        super().__init__(errno.EPERM, what, str(path))


def exists(path: Path) -> bool:
    """Whether `path` is there; False where stat is denied."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def is_plain(path: Path) -> bool:
    """Whether a plain file is there: no pipe that reading from would hang, no endless device."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def refuse_special(path: Path) -> None:
    """Refuse what would hang its reader, or never end.

    Raises:
        OSError: it is no plain file, or not there.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no plain file", str(path))


def ensure_private_dir(path: Path) -> Path:
    """Make `path` and what is missing above it, readable by its owner only, and return it."""
    for missing in reversed([path, *path.parents]):
        # With `parents`, mkdir gives the mode to the last folder only.
        with contextlib.suppress(FileExistsError):
            if not missing.exists():
                missing.mkdir(mode=0o700)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def ensure_own_dir(path: Path) -> Path:
    """Make `path` if need be and return it, if nobody but its owner can put anything into it.

    Raises:
        NotOursError: it is another user's, or others may write into it.
        OSError: it cannot be made.
    """
    _refuse_swappable(path)
    ensure_private_dir(path)
    _refuse_foreign_dir(path)
    return path


def refuse_shared(path: Path) -> None:
    """Refuse a folder that somebody else could put something into.

    Of the folders above it those of ours must not be another user's. Of all others only those are
    refused that everybody may write to without the sticky bit: a home that its owner's group may
    write to is common. On Windows the profile's access lists do this.

    Raises:
        NotOursError: it is another user's, or others may write into it.
        OSError: it is not there.
    """
    _refuse_foreign_dir(path)
    _refuse_swappable(path)


def _refuse_foreign_dir(path: Path) -> None:
    if sys.platform == "win32":
        return
    me = os.geteuid()
    if path.lstat().st_uid not in {0, me} or path.stat().st_uid != me:
        raise NotOursError("the folder is another user's", path)
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotOursError("others may write into the folder", path)


def _refuse_swappable(path: Path) -> None:
    """Look at what stands above a folder, which need not be there yet."""
    if sys.platform == "win32":
        return
    ours = [folder.resolve() for folder in paths.private_dirs()]
    for above in path.resolve().parents:
        try:
            found = above.stat()
        except FileNotFoundError:
            continue
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise NotOursError("everybody may write into the folder", above)
        if found.st_uid not in {0, os.geteuid()} and any(map(above.is_relative_to, ours)):
            raise NotOursError("the folder is another user's", above)


def read_own(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a file that is ours alone to write.

    Raises:
        NotOursError: another user's file, one that others may write to, or no plain file.
        OSError: it is not there, it is a symlink.
    """
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        return file.read(limit)


def append_own(path: Path, line: bytes) -> int:
    """Append one line to a file of ours in a folder of ours; returns the file's new size.

    One write, so that the lines of two processes do not mix; a line that a full disk has torn
    stays alone on its line.

    Raises:
        NotOursError: the folder or the file is not ours alone.
        OSError: the disk is full, ...
    """
    ensure_own_dir(path.parent)
    handle = open_own(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    with os.fdopen(handle, "r+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            line = b"\n" + line
        file.write(line + b"\n")
        return file.seek(0, os.SEEK_END)


def open_own(path: Path, flags: int) -> int:
    """A descriptor of a file that is ours alone to write; the caller closes it.

    Raises:
        NotOursError: as `read_own`.
        OSError: likewise.
    """
    # O_NONBLOCK: a named pipe in its place must not hold us up.
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    handle = os.open(path, flags, 0o600)
    try:
        _refuse_foreign(os.fstat(handle), path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _refuse_foreign(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotOursError("it is no plain file", path)
    if sys.platform == "win32":
        return
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotOursError("others may write to the file", path)
    if found.st_nlink > 1:  # another name of it may be somebody's file elsewhere
        raise NotOursError("the file has another name as well", path)


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file of ours in a folder of ours, as `write_whole` does.

    Raises:
        NotOursError: the folder is another user's, or others may write into it.
        OSError: the folder is not writable, the disk is full, ...
    """
    ensure_own_dir(path.parent)
    write_whole(path, content, mode)


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `content` so that a reader sees the old or the new file, never a part.

    In whatever folder: that of a build context may be a team's, a report may go to `/tmp`.

    Raises:
        OSError: the folder is not there or not writable, the disk is full, ...
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
