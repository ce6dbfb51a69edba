"""Whether a file still has its name, without looking again and again: a daemon at rest must sleep.

Linux tells (inotify(7)). Elsewhere, and where the user has no more watches, we look once a minute.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

LOOK_S: Final = 60.0
_IN_ATTRIB: Final = 0x4
"""Its number of names has changed, too: the file of an open socket lives on without one."""
_IN_DELETE_SELF: Final = 0x400
_IN_MOVE_SELF: Final = 0x800
_CHUNK: Final = 4096


class Watch:
    """Tells when to look whether a file is still there.

    Args:
        path: the file.

    Attributes:
        look_s: after how many seconds to look in any case; infinite where the system tells.
    """

    def __init__(self, path: Path) -> None:
        self._number = _inotify(path) if sys.platform == "linux" else None
        self.look_s = LOOK_S if self._number is None else math.inf

    def filenos(self) -> list[int]:
        """The descriptor to wait for, if there is one."""
        return [] if self._number is None else [self._number]

    def is_due(self, readable: Collection[int]) -> bool:
        """Whether to look now.

        Args:
            readable: the descriptors that are; none after `look_s`.
        """
        if self._number is None or self._number not in readable:
            return not readable
        with contextlib.suppress(OSError):
            os.read(self._number, _CHUNK)
        return True

    def close(self) -> None:
        """Watch no more."""
        for number in self.filenos():
            os.close(number)
        self._number = None


def _inotify(path: Path) -> int | None:
    """A descriptor that is readable once the file was moved, replaced or removed, or may have been.

    None if there is none: each user has a limit, which editors reach.
    """
    import ctypes  # noqa: PLC0415 - only here

    libc = ctypes.CDLL(None)
    number: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if number < 0:
        return None
    events = _IN_ATTRIB | _IN_DELETE_SELF | _IN_MOVE_SELF
    if libc.inotify_add_watch(number, os.fsencode(path), events) < 0:
        os.close(number)
        return None
    return number
