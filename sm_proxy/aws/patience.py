"""Repeat a call that AWS throttles, or that the network loses, for a long-running command."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sm_proxy.errors import SmProxyError
from sm_proxy.local import waits

T = TypeVar("T")

_FIRST_S: Final = 1.0
_LONGEST_S: Final = 30.0


class Patience:
    """Makes calls, and repeats those that fail for now, with growing pauses. Threads may share it.

    Args:
        limit_s: how long to repeat one call, in seconds; infinite for a command that follows.
        on_status: takes a line for people: one for each time of failures.
    """

    def __init__(self, limit_s: float, on_status: Callable[[str], None]) -> None:
        self._limit_s = limit_s
        self._on_status = on_status
        self._lock = threading.Lock()
        self._failing = False

    def ask(self, call: Callable[[], T]) -> T:
        """The result of the call.

        Raises:
            SmProxyError: it failed for good, or for longer than the limit.
        """
        since = time.monotonic()
        pause = _FIRST_S
        while True:
            try:
                found = call()
            except SmProxyError as error:
                if not error.passing or time.monotonic() + pause - since > self._limit_s:
                    raise
                self._report(error)
                why = f"trying again: {error.message}"
            else:
                self._failing = False
                return found
            with waits.waiting(why):
                time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            pause = min(2 * pause, _LONGEST_S)

    def _report(self, error: SmProxyError) -> None:
        with self._lock:
            if self._failing:
                return
            self._failing = True
        self._on_status(f"trying again: {error.message}")
