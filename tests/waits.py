"""Waiting for a condition, with a deadline and an explanation."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def await_true(
    condition: Callable[[], bool],
    seconds: float,
    explain: Callable[[], object] = str,
    alive: subprocess.Popen[Any] | None = None,
) -> None:
    """Wait until `condition()` holds; fail after `seconds`, or when the process `alive` has ended.

    The failure shows `explain()`.
    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if condition():
            return
        ended = alive is not None and alive.poll() is not None
        assert not ended, f"it ended early: {explain()}"
        assert time.monotonic() < deadline, f"it took more than {seconds} s: {explain()}"
        # A condition may search all processes: it gets a third of a core at most.
        time.sleep(max(0.02, 2 * (time.monotonic() - began)))


def read_until(terminal: int, words: bytes, seconds: float = 60) -> bytes:
    """Read a terminal until it shows `words`; fail after `seconds`.

    What a program has printed arrives a moment later than its end, and in pieces.
    """
    shown, deadline = b"", time.monotonic() + seconds
    while words not in shown:
        assert select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0], shown
        shown += os.read(terminal, 4096)
    return shown


def listens(path: Path) -> bool:
    """Whether a Unix socket accepts connections; its file exists a moment earlier."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0
