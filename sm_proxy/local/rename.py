"""Swap two files, or rename without replacing, where the system can.

A plain rename deletes the file that it replaces. A swap keeps it under the other name, so that we
can compare it afterwards (Linux: renameat2(2), macOS: renamex_np(2)).
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Final

_AT_FDCWD: Final = -100
_FLAGS: Final = {"linux": {"swap": 2, "new": 1}, "darwin": {"swap": 2, "new": 4}}
"""RENAME_EXCHANGE and RENAME_NOREPLACE; RENAME_SWAP and RENAME_EXCL."""


def swap(one: Path, other: Path) -> bool:
    """Swap the names of two files atomically; False if the system cannot.

    Raises:
        FileNotFoundError: one of them does not exist.
    """
    return _renamed(one, other, "swap")


def rename_new(old: Path, new: Path) -> bool:
    """Rename a file without replacing another; False if the system cannot.

    Raises:
        FileExistsError: the new name is taken.
        FileNotFoundError: the old file does not exist.
    """
    if sys.platform == "win32":
        old.rename(new)
        return True
    return _renamed(old, new, "new")


def _renamed(old: Path, new: Path, how: str) -> bool:
    flag = _FLAGS.get(sys.platform, {}).get(how)
    if flag is None:
        return False
    import ctypes  # noqa: PLC0415 - only to replace a user's file

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        call = libc.renamex_np if sys.platform == "darwin" else libc.renameat2
    except (AttributeError, OSError):  # an old libc
        return False
    one, other = os.fsencode(old), os.fsencode(new)
    words = (one, other) if sys.platform == "darwin" else (_AT_FDCWD, one, _AT_FDCWD, other)
    if call(*words, flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.ENOENT, errno.EEXIST}:
        raise OSError(number, os.strerror(number), str(old), None, str(new))
    return False
