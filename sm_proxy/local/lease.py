"""Detect whether a program has a file open for writing, with a Linux lease (fcntl(2))."""

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
    """Keep other programs from writing to the file; yields False where that is not possible.

    The kernel grants a read lease (fcntl(2), F_SETLEASE) only while no program has the file open
    for writing. A program that opens it for writing then waits until the lease ends with the
    handle.
    """
    if sys.platform != "linux":
        yield False
        return
    import fcntl  # noqa: PLC0415 - there is none on Windows

    with contextlib.ExitStack() as stack:
        known = False
        with contextlib.suppress(
            OSError
        ):  # no such file, another owner, or no leases on this file system
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            stack.callback(os.close, handle)
            # The kernel sends a signal if another program waits for the end of our lease. We choose
            # SIGURG, which is ignored by default; the default, SIGIO, would end this process.
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
            known = _leased(handle)
        yield known


def _leased(handle: int) -> bool:
    import fcntl  # noqa: PLC0415 - there is none on Windows

    for _ in range(_LOOKS):
        try:
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:  # noqa: PERF203 - a program is writing
            time.sleep(_LOOK_S)
        else:
            return True
    return True  # a program keeps it open without writing
