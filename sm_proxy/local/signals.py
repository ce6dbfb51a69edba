"""Notice that ssh has exited, and turn that into an exception or a wake-up.

ssh ends a ProxyCommand with SIGHUP; a killed ssh only closes its pipes. Before bytes flow, both
raise `Hangup` in the main thread, which also ends a blocking call (PEP 475). It is raised only
once: ssh's SIGHUP often follows a ^C and must not interrupt the clean-up. While bytes flow, a
signal only wakes the loop, so that nothing is interrupted half-way.

If SIGHUP or SIGINT was ignored when we started (nohup, a shell's `&`), it stays ignored, as in ssh:
a copy in the background outlives its terminal.
"""

from __future__ import annotations

import contextlib
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
"""Seconds left for the clean-up after a signal; ssh sends SIGHUP at every normal end."""
_AGAIN_S = 0.01
_RACE = "ignored due to race condition"
"""CPython's words for a signal that arrived just before we ignored it (signalmodule.c)."""
_NAMES = ("SIGHUP", "SIGTERM", "SIGINT")
ENDING = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
"""The signals that tell a ProxyCommand to end."""
_ignored: set[int] = set()
"""Signals that we have ignored ourselves, not those that were ignored when we started."""
_repeaters: list[_Repeater] = []
"""The one that works from `raise_on_hangup` to `ignore`, if any."""
_hooks: list[Callable[[Any], object]] = []
"""The previous `sys.unraisablehook`."""


class Hangup(BaseException):
    """ssh has exited or told us to stop: clean up within two seconds and print nothing.

    Its only argument is the signal number.
    """


def raise_on_hangup() -> None:
    """From now on the first SIGHUP, SIGTERM or SIGINT raises `Hangup` in the main thread.

    Python drops an exception in a weak reference's callback or in `__del__`. If a signal arrives
    there, we raise `Hangup` again a moment later. Python also reports a signal that arrived just
    before we ignored it, as when ^C and ssh's SIGHUP come together; we hide that report.
    """
    _handle(_raise)
    _repeat()
    if sys.unraisablehook is not _dropped:
        _hooks.append(sys.unraisablehook)
        sys.unraisablehook = _dropped


def ignore() -> None:
    """Ignore SIGHUP, SIGTERM and SIGINT from now on, for a clean-up with a deadline."""
    for number in ENDING:
        if signal.signal(number, signal.SIG_IGN) != signal.SIG_IGN:
            _ignored.add(number)
    _end_repeaters()


def detach_stderr() -> None:
    """Close our side of stderr, so that a reader of ssh's output need not wait for our clean-up.

    Also close stdout, if `stdio.take_over` has made it a copy of stderr.
    """
    try:
        null = os.open(os.devnull, os.O_WRONLY)
    except OSError:  # no descriptor is left: the reader waits, but the clean-up takes place
        return
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
        """Install the handlers."""
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        _handle(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Ignore the signals: the clean-up that follows has a deadline."""
        signal.set_wakeup_fd(-1)
        ignore()
        self._reader.close()
        self._writer.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.hung_up = True


class Deadline:
    """The deadline of a clean-up: while entered, SIGHUP, SIGTERM and SIGINT shorten it.

    Args:
        seconds: until the deadline.
    """

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds left."""
        return max(0.0, self._until - time.monotonic())

    def __enter__(self) -> Deadline:  # noqa: PYI034 - Self is 3.11
        """Install the handlers, also for signals that we ignored after the first one."""
        _handle(self._hurry, _ignored)
        return self

    def __exit__(self, *_: object) -> None:
        """Ignore the signals: the rest of the run is short."""
        ignore()

    def _hurry(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._until = min(self._until, time.monotonic() + HURRY_S)


class Watch:
    """While entered, a thread raises `Hangup` in the main thread once ssh has exited.

    Args:
        wait: waits up to the given seconds and returns whether ssh has exited.
        on_tick: called a few times a second, in the thread; it must not block.
    """

    def __init__(
        self, wait: Callable[[float], bool], on_tick: Callable[[], None] = lambda: None
    ) -> None:
        self._wait = wait
        self._on_tick = on_tick
        self._over = threading.Event()

    def __enter__(self) -> None:
        """Start watching."""
        threading.Thread(target=self._run, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.is_set():
            if self._wait(_WATCH_TICK_S) and not self._over.is_set():
                interrupt_main_thread()
                return
            self._on_tick()


class _Repeater:
    """Sends a signal again that ends no blocking call, in a thread.

    Python runs a handler between two steps of the main thread. If the signal comes after the last
    step before a system call, this call goes on to its end. But Python also writes each signal to
    a socket, at once (`signal.set_wakeup_fd`).
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        # The kernel gives a signal to a thread that does not block it: that must be the main one.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            threading.Thread(target=self._run, daemon=True, name="signals").start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def end(self) -> None:
        """Send nothing again from now on."""
        other = signal.set_wakeup_fd(-1)
        if other != self._writer.fileno():
            signal.set_wakeup_fd(other, warn_on_full_buffer=False)
        self._writer.close()

    def _run(self) -> None:
        with self._reader:
            while arrived := self._reader.recv(1):
                if arrived[0] in ENDING:
                    _until_raised(arrived[0], lambda: self in _repeaters)


def _repeat() -> None:
    if sys.platform != "win32" and not _repeaters:
        # Without a descriptor or a thread, most signals end the call all the same.
        with contextlib.suppress(OSError, RuntimeError):
            _repeaters.append(_Repeater())


def _end_repeaters() -> None:
    while _repeaters:
        _repeaters.pop().end()


if sys.platform != "win32":
    # A fork has the socket, but not the thread: its signals would be sent again to its parent.
    os.register_at_fork(after_in_child=_end_repeaters)


def interrupt_main_thread(number: int = signal.SIGTERM) -> None:
    """Make the main thread act as if ssh had told this process to end; call it in any thread.

    Python runs a handler between two steps. If the signal comes after the last step before a system
    call, the call blocks all the same, so the signal is sent until `_raise` has run.

    Args:
        number: one of `ENDING`.
    """
    if sys.platform == "win32":
        import _thread  # noqa: PLC0415

        _thread.interrupt_main()
    elif (main := threading.main_thread().ident) is not None:
        signal.pthread_kill(main, number)
        _until_raised(number)


def _until_raised(number: int, wanted: Callable[[], bool] = lambda: True) -> None:
    """Send the signal to the main thread until `_raise` has run, if it is the handler."""
    main = threading.main_thread().ident
    time.sleep(_AGAIN_S)
    # When it runs, it ignores the signal.
    while main is not None and signal.getsignal(number) is _raise and wanted():
        signal.pthread_kill(main, number)
        time.sleep(_AGAIN_S)


def _handle(handler: Callable[[int, FrameType | None], None], again: Collection[int] = ()) -> None:
    for number in ENDING:
        # Always handle SIGTERM: `Watch` uses it to reach the main thread.
        if number in {signal.SIGTERM, *again} or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    del frame
    ignore()
    raise Hangup(number)


def _dropped(event: Any) -> None:
    """Raise a `Hangup` again that Python could not raise; pass other exceptions on."""
    if event.exc_type is not Hangup:
        if _RACE not in str(event.exc_value):
            _hooks[-1](event)
    elif sys.platform != "win32":
        number = event.exc_value.args[0]
        signal.signal(signal.SIGALRM, lambda _, frame: _raise(number, frame))
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
