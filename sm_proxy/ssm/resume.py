"""Resume a session in a thread after its connection was lost, so that the pump never blocks."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable
from typing import Final

from sm_proxy.ssm.api import FinalError, Grant
from sm_proxy.ssm.transport import WebSocket

RESUME_DEADLINE_S: Final = 120.0
_FIRST_DELAY_S: Final = 0.1
_LONGEST_DELAY_S: Final = 5.0

Outcome = tuple[Grant, WebSocket]
Attempt = Callable[[], Outcome | None]
"""One try: a new connection, None when the session is over for good, or an exception."""


class Resumption:
    """Tries until there is a connection, the session is over, or the deadline has passed.

    Args:
        attempt: one try; runs in a thread of its own.
        reason: why the connection was lost.
        deadline: when to give up.
        earlier: number of resumed connections in a row without progress; if any, wait before the
            first try.
    """

    def __init__(self, attempt: Attempt, reason: str, deadline: float, earlier: int = 0) -> None:
        self.reason = reason
        self.deadline = deadline
        self._attempt = attempt
        self._earlier = earlier
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._result: Outcome | str | None = None
        self.cause: Exception | None = None
        self._last_error = ""
        self._wake_reader, self._wake_writer = socket.socketpair()
        threading.Thread(target=self._run, daemon=True).start()

    def fileno(self) -> int:
        """Readable when there is an outcome."""
        return self._wake_reader.fileno()

    def outcome(self, now: float) -> Outcome | str | None:
        """A connection, the reason why there will be none, or None while the thread still tries."""
        if self._result is not None or now < self.deadline:
            return self._result
        why = f": {self._last_error}" if self._last_error else ""
        return f"could not be resumed within {RESUME_DEADLINE_S:.0f} s{why}"

    def cancel(self) -> None:
        """Stop trying and free everything. A connection that arrives later is closed."""
        with self._lock:
            self._cancelled.set()
            if isinstance(self._result, tuple):
                self._result[1].close()
        self._wake_reader.close()

    def take(self) -> None:
        """The caller has taken the connection: free the rest."""
        self._wake_reader.close()

    def _run(self) -> None:
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(self._earlier, 10))
        if self._earlier:
            self._cancelled.wait(delay)
        while not self._cancelled.is_set() and self._result is None:
            self._try_once()
            if self._result is None:
                self._cancelled.wait(delay * random.uniform(1, 2))  # noqa: S311 - jitter
                delay = min(_LONGEST_DELAY_S, delay * 2)
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"!")
        self._wake_writer.close()

    def _try_once(self) -> None:
        result: Outcome | str | None = None
        try:
            result = self._attempt() or "the service says that the session is over"
        except FinalError as error:
            self.cause = error.cause
            result = f"cannot be resumed: {error}"
        except Exception as error:  # noqa: BLE001 - network, throttling, ...: try again
            self._last_error = str(error) or type(error).__name__
        with self._lock:
            self._result = result
            if self._cancelled.is_set() and isinstance(result, tuple):
                result[1].close()
