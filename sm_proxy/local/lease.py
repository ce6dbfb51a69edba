"""Whether some program has a file open for writing: Linux tells, by a lease (fcntl(2))."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LOOKS: Final = 500
_LOOK_S: Final = 0.001


@contextlib.contextmanager
def nobody_writing(path: Path) -> Iterator[bool]:
    """While entered, nobody has the file open for writing; False where that cannot be had.

    A read lease (fcntl(2), F_SETLEASE) is granted only where nobody has, and whoever opens the file
    then waits until it ends with the handle.
    """
    if sys.platform != "linux":
        yield False
        return
    import fcntl  # noqa: PLC0415 - there is none on Windows

    with contextlib.ExitStack() as stack:
        known = False
        with contextlib.suppress(OSError):  # no such file, not our own, or no leases there
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            stack.callback(os.close, handle)
            # Who waits for us is told by a signal: by one that nobody heeds, SIGIO would end us.
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
            known = _leased(handle)
        yield known


def _leased(handle: int) -> bool:
    import fcntl  # noqa: PLC0415 - there is none on Windows

    for _ in range(_LOOKS):
        try:
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:  # noqa: PERF203 - somebody writes: not for long
            time.sleep(_LOOK_S)
        else:
            return True
    return True  # somebody keeps it open, and need not write
