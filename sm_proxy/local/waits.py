"""What this process waits for, and whether a line about it may stand on the terminal now.

`status_line` shows it on stderr once it takes more than a second; the ssh path imports that module
only then.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TextIO

PEN: Final = threading.RLock()
"""Held to write to stderr while the status line may stand there."""
_WITHOUT_CURSOR: Final = frozenset({"dumb", "unknown"})
"""Values of TERM for terminals on which no line can be rewritten."""


@dataclass(eq=False)
class Wait:
    """Something that takes time.

    Attributes:
        what: what is waited for, in words; empty to show nothing.
        limit_s: when it ends at the latest, in seconds from `began`; infinite if that is unknown.
        is_call: whether it is a call to AWS: shown if nothing else is waited for.
        covers: whether everything else that is waited for meanwhile belongs to it.
        began: by `time.monotonic`.
    """

    what: str
    limit_s: float = math.inf
    is_call: bool = False
    covers: bool = False
    began: float = 0.0

    def tell(self, what: str, on_status: Callable[[str], None]) -> None:
        """Change what is waited for: in the status line, or as a line where it cannot be rewritten.

        Args:
            what: in words.
            on_status: takes the line.
        """
        if what != self.what:
            self.what = what
            # Not `rewrites`: on a lent terminal, a line would break into a question.
            if not (_DISPLAY.enabled and has_terminal()):
                on_status(what)


class StatusLine(Protocol):
    """What `status_line` has on the terminal. Its methods do not raise."""

    def erase(self) -> None:
        """Erase it; it comes back. Called with `PEN` held."""

    def stop(self, *, erase: bool) -> None:
        """Let it not come back."""


class _Display:
    """Whether this process shows what it waits for."""

    def __init__(self) -> None:
        self.enabled = False
        self.when_waiting: Callable[[], object] | None = None
        self.line: StatusLine | None = None
        self.hidden = 0
        self.waits: list[Wait] = []
        # Held for moments only, unlike `PEN`, which a terminal that takes no output may hold up.
        self.changing = threading.RLock()
        self.is_foreground: Callable[[int], bool] = _is_foreground
        self.echoes: Callable[[int], bool] = _echoes
        self.clock: Callable[[], float] = time.monotonic


@contextlib.contextmanager
def waiting(
    what: str, limit_s: float = math.inf, *, is_call: bool = False, covers: bool = False
) -> Iterator[Wait]:
    """While entered, this is what the process waits for; the arguments are those of `Wait`."""
    wait = Wait(what, limit_s, is_call, covers, _DISPLAY.clock())
    _DISPLAY.waits.append(wait)
    try:
        if _DISPLAY.when_waiting is not None:
            _DISPLAY.when_waiting()
        yield wait
    finally:
        _DISPLAY.waits.remove(wait)


def current() -> list[Wait]:
    """What is waited for now, in all threads; the newest last."""
    return list(_DISPLAY.waits)


def show(when_waiting: Callable[[], object] | None = None) -> None:
    """From now on, what this process waits for is shown on stderr, by `status_line`.

    Args:
        when_waiting: starts the status line, at the first wait.
    """
    _DISPLAY.enabled, _DISPLAY.when_waiting = True, when_waiting


def put_line(line: StatusLine) -> bool:
    """Take the status line, to erase it when something is written; False if it is not wanted."""
    with _DISPLAY.changing:
        if not _DISPLAY.enabled or _DISPLAY.line is not None:
            return False
        _DISPLAY.line, _DISPLAY.when_waiting = line, None
        return True


def hide(*, erase: bool = True) -> None:
    """Show no longer what this process waits for.

    Args:
        erase: whether to erase the status line; False if the terminal may be another program's
            by now.
    """
    with _DISPLAY.changing:  # no line of another thread comes after this
        line = _DISPLAY.line
        _DISPLAY.line, _DISPLAY.enabled, _DISPLAY.when_waiting = None, False, None
    if line is not None:
        line.stop(erase=erase)


@contextlib.contextmanager
def terminal_lent() -> Iterator[None]:
    """While entered, no status line stands on the terminal: a question or a program has it."""
    with line_erased():
        _DISPLAY.hidden += 1
    try:
        yield
    finally:
        with line_erased():  # which also ends the silence
            _DISPLAY.hidden -= 1


def is_lent() -> bool:
    """Whether a question, or another program, has the terminal."""
    terminal = _terminal()
    return bool(_DISPLAY.hidden) or (terminal is not None and not _DISPLAY.echoes(terminal))


def rewrites() -> bool:
    """Whether the status line may be rewritten on stderr now."""
    return not is_lent() and has_terminal()


def has_terminal(stream: TextIO | None = None) -> bool:
    """Whether `stream` is a terminal that takes a line again, and we are not in the background.

    Args:
        stream: None for stderr as it is now.
    """
    try:
        return (terminal := _terminal(stream)) is not None and _DISPLAY.is_foreground(terminal)
    except OSError:  # it is the terminal of another session
        return False


def _terminal(stream: TextIO | None = None) -> int | None:
    """The stream's descriptor, if it is a terminal on which a line can be rewritten."""
    if os.environ.get("TERM") in _WITHOUT_CURSOR:
        return None
    try:
        stream = stream or sys.stderr
        return stream.fileno() if stream.isatty() else None
    except (AttributeError, OSError, ValueError):  # closed, or not a file
        return None


def set_foreground_test(test: Callable[[int], bool]) -> None:
    """Say how to find out whether we may write on the terminal with this descriptor.

    For a process that works for another one, which has the terminal.
    """
    _DISPLAY.is_foreground = test


def _is_foreground(terminal: int) -> bool:
    return sys.platform == "win32" or os.tcgetpgrp(terminal) == os.getpgrp()


def _echoes(terminal: int) -> bool:
    """False while another program, such as ssh, asks for a passphrase there."""
    if sys.platform == "win32":
        return True
    import termios  # noqa: PLC0415 - ssh seldom waits

    try:
        return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
    except termios.error:
        return False


_DISPLAY: Final = _Display()


@contextlib.contextmanager
def line_erased() -> Iterator[None]:
    """While entered, the status line is erased; it comes back with the next second."""
    line = _DISPLAY.line
    if line is None:
        yield
        return
    with PEN:
        line.erase()
        yield
