"""The status line on stderr: what this process waits for, and for how long.

On a terminal it is one line that is rewritten each second. It is erased before anything else is
written. Where a line cannot be rewritten (a log, a pipe, a terminal that only prints, or a process
in the background), a line follows after 10 s, 30 s, a minute and so on.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from sm_proxy.errors import printable
from sm_proxy.local import elapsed, output, screen, waits
from sm_proxy.local.layout import cells
from sm_proxy.local.redaction import redact
from sm_proxy.local.waits import Wait

SILENCE_S: Final = 1.0
"""How long a process may be silent before it says what it waits for."""
_TICK_S: Final = 1.0
_DRAWN_S: Final = 0.1
"""How long to wait for a line that is being drawn, where nothing is to be erased."""
_REMINDERS_S: Final = (10.0, 30.0, 60.0, 120.0)
"""When to say again what is waited for, where the line cannot be rewritten."""
_REMINDER_EVERY_S: Final = 300.0
"""As above, from then on."""
_USUAL_COLUMNS: Final = 80
_CUT: Final = "..."
_THEN: Final = " -> "
"""Between the statuses of a job."""
_IDLE: Final = Wait("")


def start(silent_s: float = 0.0) -> None:
    """Show what this process waits for, if that is wanted and not done yet.

    Args:
        silent_s: how long the process has been silent already, in seconds.
    """
    line = StatusLine(silent_s)
    if waits.put_line(line):
        line.start()


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
    except (AttributeError, OSError, ValueError):
        return _USUAL_COLUMNS


class StatusLine:
    """Shows what is waited for. `erase` and `tick` are called with `waits.PEN` held.

    Args:
        silent_s: how long this process has been silent already, in seconds.
        clock: in seconds, as that of the waits.
        columns: returns the width of stderr's terminal.
    """

    def __init__(
        self,
        silent_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        columns: Callable[[], int] = _columns,
    ) -> None:
        self._clock = clock
        self._columns = columns
        self._silent_since = clock() - silent_s
        self._drawn = ""
        self._last = _IDLE
        self._said_s = 0.0
        self._over = threading.Event()

    def start(self) -> None:
        """Show it from now on, in a thread; without one, nothing is shown."""
        thread = threading.Thread(target=self._run, daemon=True, name="status line")
        try:
            thread.start()
        except RuntimeError:  # the system starts no more threads
            self._over.set()

    def stop(self, *, erase: bool) -> None:
        """Show nothing any more. It does not wait for a terminal that takes no output."""
        self._over.set()
        # Also if nothing is to be erased: the thread may be drawing.
        if waits.PEN.acquire(timeout=_TICK_S if erase else _DRAWN_S):
            try:
                if erase:
                    self.erase()
            finally:
                waits.PEN.release()

    def erase(self) -> None:
        """Erase the line: something else is about to be written."""
        self._silent_since = self._clock()
        self._clear()

    def tick(self) -> None:
        """Show what is waited for now, as fits the place that stderr leads to."""
        if waits.is_lent():
            return
        wait = shown(waits.current())
        if wait is None or not wait.what:
            self._clear()
            return
        now = self._clock()
        silent = now - self._silent_since
        waited = silent if wait.is_call else now - wait.began
        if waits.rewrites():
            if silent >= SILENCE_S or waited >= SILENCE_S:
                self._draw(in_words(wait, waited))
        else:
            self._drawn = ""
            self._remind(wait, waited)

    def _run(self) -> None:
        while not self._over.is_set():
            with waits.PEN:
                if not self._over.is_set():
                    self.tick()
            self._over.wait(_TICK_S)

    def _remind(self, wait: Wait, waited: float) -> None:
        last, self._last = self._last, wait
        if not (wait is last or (wait.is_call and last.is_call)) or waited < self._said_s:
            self._said_s = 0.0
        later = self._said_s + _REMINDER_EVERY_S
        due = next((each for each in _REMINDERS_S if each > self._said_s), later)
        if waited < due or self._clock() - self._silent_since < _REMINDERS_S[0]:
            return
        self._said_s = waited
        silent_since = self._silent_since
        output.write_to_stderr(in_words(wait, waited))
        self._silent_since = silent_since

    def _draw(self, words: str) -> None:
        # A full line would move the cursor to the next one. The cursor waits at the line's start:
        # a terminal that becomes narrower may break the line, and then keeps it in the first row.
        line = cut(screen.of(sys.stderr).shown(words), self._columns() - 1)
        if self._written(f"{self._erasing()}{line}\r"):
            self._drawn = line

    def _clear(self) -> None:
        # In the background, the terminal's line is another program's by now.
        if self._drawn and waits.rewrites():
            self._written(self._erasing())
        self._drawn = ""

    def _erasing(self) -> str:
        """Erase what stands on the line, and what was typed meanwhile; no escape on Windows.

        A line that the terminal may have broken is erased to the end of the screen: how many rows
        it takes differs, because xterm, for one, cuts it instead.
        """
        if sys.platform == "win32":
            return f"\r{' ' * min(cells(self._drawn), self._columns() - 1)}\r"
        return "\r\033[J" if cells(self._drawn) > self._columns() else "\r\033[K"

    def _written(self, text: str) -> bool:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):  # its reader has gone
            return False
        return True


def shown(waits: list[Wait]) -> Wait | None:
    """Which of several waits to show: the first that covers the others, or else the newest."""
    steps = [wait for wait in waits if not wait.is_call]
    covering = (wait for wait in steps if wait.covers)
    return next(covering, None) or next(reversed(steps or waits), None)


def now_in_words(silent_s: float) -> str:
    """What is waited for, for a command that shows it itself; empty for nothing, or not yet.

    Args:
        silent_s: how long nothing has been shown, in seconds.
    """
    wait = shown(waits.current())
    if wait is None or not wait.what or silent_s < SILENCE_S:
        return ""
    return in_words(wait, silent_s if wait.is_call else time.monotonic() - wait.began)


def in_words(wait: Wait, waited: float) -> str:
    """`sm-proxy: waiting for my-job: Downloading (2m10s of 15m)`."""
    words = printable(redact(wait.what))
    seconds = int(waited)
    if not seconds:
        return f"sm-proxy: {words}"
    within = "" if math.isinf(wait.limit_s) else f" of {elapsed.limit(round(wait.limit_s))}"
    return f"sm-proxy: {words} ({elapsed.whole(seconds)}{within})"


def cut(text: str, columns: int) -> str:
    """The text if it fits into so many columns; else its beginning, and its end with the time.

    Of statuses (`myjob: Starting -> Downloading`), the last one stays as long as it can: it is what
    is waited for now.
    """
    if cells(text) <= columns:
        return text
    start = text.rfind(" (")
    body, end = (text[:start], text[start:]) if start > 0 else (text, "")
    if _THEN in body:
        earlier, _, now = body.rpartition(_THEN)
        body = earlier.partition(_THEN)[0].rpartition(": ")[0]
        end = f": {now}{end}"
        if cells(body + end) <= columns:
            return body + end
    room = columns - len(_CUT) - cells(end)
    if room < len(_CUT):
        return _fitting(text, columns)
    return f"{_fitting(body, room).rstrip()}{_CUT}{end}"


def _fitting(text: str, columns: int) -> str:
    taken = 0
    for number, character in enumerate(text):
        taken += cells(character)
        if taken > columns:
            return text[:number]
    return text
