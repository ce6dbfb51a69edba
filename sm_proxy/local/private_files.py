"""Our own files and folders: private to their owner, and replaced atomically.

We read them only if no other user could have written to them.
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
    """Another user could have written to the file or folder, or it is not a regular file."""

    def __init__(self, what: str, path: Path) -> None:
        super().__init__(errno.EPERM, what, str(path))


def exists(path: Path) -> bool:
    """Whether `path` exists; False where stat is denied."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def is_regular(path: Path) -> bool:
    """Whether it is a regular file: reading a pipe may hang, and a device may never end."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def refuse_special(path: Path) -> None:
    """Refuse a pipe or device: reading it may hang or never end.

    Raises:
        OSError: it is not a regular file, or does not exist.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def ensure_private_dir(path: Path) -> Path:
    """Create `path` and its missing parents with mode 0700, and return it."""
    for missing in reversed([path, *path.parents]):
        # With `parents`, mkdir sets the mode of the last folder only.
        with contextlib.suppress(FileExistsError):
            if not missing.exists():
                missing.mkdir(mode=0o700)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def ensure_own_dir(path: Path) -> Path:
    """Create `path` if it is missing and return it; no other user may write to it.

    Raises:
        NotOursError: another user owns it, or others may write to it.
        OSError: it cannot be created.
    """
    _refuse_swappable(path)
    ensure_private_dir(path)
    _refuse_foreign_dir(path)
    return path


def refuse_shared(path: Path) -> None:
    """Refuse a folder that another user could write to.

    We also check its parents. Another user must not own a parent inside our cache or state folder.
    Any other parent is refused only if everybody may write to it and it has no sticky bit: a home
    folder that a group may write to is common. On Windows the profile's access lists protect it.

    Raises:
        NotOursError: another user owns it, or others may write to it.
        OSError: it does not exist.
    """
    _refuse_foreign_dir(path)
    _refuse_swappable(path)


def _refuse_foreign_dir(path: Path) -> None:
    if sys.platform == "win32":
        return
    me = os.geteuid()
    if path.lstat().st_uid not in {0, me} or path.stat().st_uid != me:
        raise NotOursError("another user owns the folder", path)
    if path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotOursError("others may write to the folder", path)


def _refuse_swappable(path: Path) -> None:
    """Check the parents of a folder, which need not exist yet."""
    if sys.platform == "win32":
        return
    ours = [folder.resolve() for folder in paths.private_dirs()]
    for above in path.resolve().parents:
        try:
            found = above.stat()
        except FileNotFoundError:
            continue
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise NotOursError("everybody may write to the folder", above)
        if found.st_uid not in {0, os.geteuid()} and any(map(above.is_relative_to, ours)):
            raise NotOursError("another user owns the folder", above)


def read_own(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a file that only we may write.

    Raises:
        NotOursError: another user owns it, others may write to it, or it is not a regular file.
        OSError: it does not exist, or is a symlink.
    """
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        return file.read(limit)


def append_own(path: Path, line: bytes) -> int:
    """Append one line to our own file in our own folder; returns the new size in bytes.

    It is a single write, so that lines of two processes do not mix. If a full disk cut the last
    line short, the new line still starts on a line of its own.

    Raises:
        NotOursError: others can write to the folder or the file.
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
    """A descriptor of a file that only we may write; the caller closes it.

    Raises:
        NotOursError: as `read_own`.
        OSError: as `read_own`.
    """
    # O_NONBLOCK: opening a named pipe must not block.
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
        raise NotOursError("it is not a regular file", path)
    if sys.platform == "win32":
        return
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotOursError("others may write to the file", path)
    if found.st_nlink > 1:  # the other link may be in another user's folder
        raise NotOursError("the file has a second hard link", path)


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace our own file in our own folder, as `write_whole` does.

    Raises:
        NotOursError: another user owns the folder, or others may write to it.
        OSError: the folder is not writable, the disk is full, ...
    """
    ensure_own_dir(path.parent)
    write_whole(path, content, mode)


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file atomically: a reader sees the old or the new content, never a part.

    The folder may be shared: a team's build context, or `/tmp` for a report.

    Raises:
        OSError: the folder is missing or not writable, the disk is full, ...
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
