"""Pseudo-terminals for programs under test."""

from __future__ import annotations

import os
from typing import Any


def controlling(terminal: int) -> dict[str, Any]:
    """Options of `Popen` for a program in a session of its own, with this controlling terminal.

    Args:
        terminal: the program's end, from `pty.openpty`.
    """
    import fcntl
    import termios

    def take() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    return {"preexec_fn": take}


def set_width(terminal: int, columns: int) -> None:
    """Make a terminal so many columns wide, and 24 lines high; 0: it does not know its width."""
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
