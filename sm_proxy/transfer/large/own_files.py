"""Our part and map files: their names, who may have written them, and their lock."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import file_lock

NEW: Final = os.O_CREAT | os.O_EXCL
"""Flags of `os.open` for a file that must not exist."""
SAFE: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
"""Flags for a file that may have been replaced by a link or a pipe."""
_NAME_LIMIT: Final = 255
_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


def beside(target: str, suffix: str) -> str:
    """`.NAME.sm-proxy-SUFFIX` in the folder of `target`; a long name is cut, and gets a digest."""
    folder, slash, name = target.rpartition("/")
    ending = f".sm-proxy-{suffix}"
    if len(os.fsencode(name)) + len(ending) + 1 > _NAME_LIMIT:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        name = os.fsdecode(os.fsencode(name)[:180]).encode(errors="ignore").decode() + digest
    return f"{folder}{slash}.{name}{ending}"


def disk_error(path: object, error: OSError) -> SmProxyError:
    """`copy-failed` for what this machine's disk refused."""
    if error.errno in _FULL:
        return SmProxyError(
            "copy-failed",
            f"the disk of {path} is full on this machine",
            "Free space, then run it again: it resumes where it stopped.",
        )
    return SmProxyError("copy-failed", f"{path}: {error.strerror or error} on this machine")


def open_locked(path: Path, what: str) -> tuple[int, bool]:
    """Open our own file to read and write, and lock it; a stranger's is replaced.

    Args:
        path: of the file.
        what: what it is for, for the message.

    Returns:
        its descriptor, and whether it is new.

    Raises:
        SmProxyError: `busy`, another copy holds it.
        OSError: it cannot be opened.
    """
    for _ in range(10):
        handle, new = _open_own(path)
        try:
            _lock(handle, what)
            # The other copy may have renamed it just before it let go.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.lstat()):
                    return handle, new
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    raise SmProxyError("busy", f"other copies are writing {what}", "Try again later.")


def _lock(handle: int, what: str) -> None:
    if file_lock.try_lock(handle) is False:
        raise busy(what)


def busy(what: str) -> SmProxyError:
    """`busy`: another copy is writing a file."""
    hint = "Let it finish, or end it, then try again."
    return SmProxyError("busy", f"another copy is writing {what}", hint)


def _open_own(path: Path) -> tuple[int, bool]:
    with contextlib.suppress(FileNotFoundError):
        handle = _open_existing(path)
        if handle is not None:
            return handle, False
        path.unlink()
    try:
        return os.open(path, os.O_RDWR | NEW | SAFE, 0o600), True
    except FileExistsError:  # another copy was quicker: its lock tells
        handle = _open_existing(path)
        if handle is None:
            raise
        return handle, False


def _open_existing(path: Path) -> int | None:
    """None if others could have written it."""
    try:
        handle = os.open(path, os.O_RDWR | SAFE)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EACCES}:
            return None
        raise
    if is_ours(os.fstat(handle)):
        return handle
    os.close(handle)
    return None


def is_ours(found: os.stat_result) -> bool:
    """Whether no other user could have written it."""
    mine = sys.platform == "win32" or found.st_uid == os.geteuid()
    return mine and stat.S_ISREG(found.st_mode) and found.st_nlink == 1
