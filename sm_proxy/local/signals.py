"""ssh went away: how it is noticed and what it becomes.

ssh ends a ProxyCommand by SIGHUP, or by just closing its pipes when it was killed itself. While
names are resolved, both become `Hangup`, raised in the main thread: a handler that raises also
ends a blocking call (PEP 475). It is raised once: a ^C is often followed by ssh's SIGHUP, and that
one must not interrupt the clean-up. While bytes flow nothing may be interrupted half-way, so there
a signal only wakes the loop up.

A SIGHUP or SIGINT that was ignored when we were started (nohup, a shell's `&`) stays ignored, as
ssh itself does it: a copy in the background outlives its terminal.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any

_WATCH_TICK_S = 0.25
HURRY_S = 2.5
"""What a signal leaves of a clean-up: ssh's own SIGHUP comes at every ordinary end."""
_AGAIN_S = 0.01
_RACE = "ignored due to race condition"
"""CPython's words for a signal that came just before it was to be ignored (signalmodule.c)."""
_NAMES = ("SIGHUP", "SIGTERM", "SIGINT")
_ALL = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
_ignored: set[int] = set()
"""Signals that we ignore for a while, not those that were ignored when we were started."""
_hooks: list[Callable[[Any], object]] = []
"""What was told of dropped exceptions before us."""


class Hangup(BaseException):
    """ssh is gone or told us to go: clean up within two seconds and print nothing.

    Its one argument is the signal's number.
    """


def raise_on_hangup() -> None:
    """From now on the first SIGHUP, SIGTERM or SIGINT raises `Hangup` in the main thread.

    Python drops what is raised while it runs a weak reference's callback or a `__del__`, and a
    signal can arrive just there: then it is raised again, a moment later. It also complains of a
    signal that came just before it was to be ignored: a ^C and ssh's SIGHUP often come together.
    """
    _handle(_raise)
    if sys.unraisablehook is not _dropped:
        _hooks.append(sys.unraisablehook)
        sys.unraisablehook = _dropped


def ignore() -> None:
    """From now on SIGHUP, SIGTERM and SIGINT do nothing: for the bounded clean-up."""
    for number in _ALL:
        if signal.signal(number, signal.SIG_IGN) != signal.SIG_IGN:
            _ignored.add(number)


def detach_stderr() -> None:
    """Point stderr at nothing: whoever waits for ssh's output must not wait for our clean-up.

    And stdout, where `stdio.take_over` has made it the same.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    if os.path.sameopenfile(1, 2):
        os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


class Wakeup:
    """While entered, SIGHUP, SIGTERM and SIGINT make `fileno` readable and set `hung_up`."""

    def __init__(self) -> None:
        self.hung_up = False
        self._reader, self._writer = socket.socketpair()

    def fileno(self) -> int:
        """Readable after a signal."""
        return self._reader.fileno()

    def __enter__(self) -> Wakeup:  # noqa: PYI034 - Self is 3.11
        """Take the signals over."""
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        _handle(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """From here on the signals are ignored: the end is bounded."""
        signal.set_wakeup_fd(-1)
        ignore()
        self._reader.close()
        self._writer.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.hung_up = True


class Deadline:
    """The end of a clean-up: while entered, SIGHUP, SIGTERM and SIGINT bring it nearer.

    Args:
        seconds: how long it may take.
    """

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """How many seconds are left."""
        return max(0.0, self._until - time.monotonic())

    def __enter__(self) -> Deadline:  # noqa: PYI034 - Self is 3.11
        """Take the signals over, those too that were ignored since the first one."""
        _handle(self._hurry, _ignored)
        return self

    def __exit__(self, *_: object) -> None:
        """What comes after it is short."""
        ignore()

    def _hurry(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._until = min(self._until, time.monotonic() + HURRY_S)


class Watch:
    """While entered, a thread raises `Hangup` in the main thread once `wait` says that ssh left.

    `wait` takes seconds and tells whether ssh has gone within them.
    """

    def __init__(self, wait: Callable[[float], bool]) -> None:
        self._wait = wait
        self._over = threading.Event()
        self._main = threading.main_thread()

    def __enter__(self) -> None:
        """Start watching."""
        threading.Thread(target=self._run, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            if self._wait(_WATCH_TICK_S) and not self._over.is_set():
                self._interrupt()
                return

    def _interrupt(self) -> None:
        if sys.platform == "win32":
            import _thread  # noqa: PLC0415

            _thread.interrupt_main()
        elif self._main.ident is not None:
            signal.pthread_kill(self._main.ident, signal.SIGTERM)


def _handle(handler: Callable[[int, FrameType | None], None], again: Collection[int] = ()) -> None:
    for number in _ALL:
        # SIGTERM is always heard: it is how `Watch` reaches the main thread.
        if number in {signal.SIGTERM, *again} or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    del frame
    ignore()
    raise Hangup(number)


def _dropped(event: Any) -> None:
    """An exception got lost where Python cannot raise any; ours has to be heard."""
    if event.exc_type is not Hangup:
        if _RACE not in str(event.exc_value):
            _hooks[-1](event)
    elif sys.platform != "win32":
        number = event.exc_value.args[0]
        signal.signal(signal.SIGALRM, lambda _, frame: _raise(number, frame))
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
