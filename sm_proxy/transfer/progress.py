"""How far a copy is: counted in many threads, told to one callback, a few times a second."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

TICK_S: Final = 0.2
"""How often the callback is called."""
_MARK_S: Final = 0.2
_WINDOW_S: Final = 5.0
"""The rate is that of the last seconds."""
_LAST_WORD_S: Final = 5.0
"""How long the end waits for a callback that is slow."""


@dataclass(frozen=True)
class Progress:
    """How far a copy is.

    Attributes:
        bytes_done: of all files, those that an earlier run copied included.
        bytes_total: of all files; 0 until they are listed, as `files_total`.
        files_done: how many are complete.
        files_total: how many there are.
        rate: bytes per second over the link, in the last 5 s.
        name: a file that is being copied, as its source names it; empty before the first.
    """

    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int
    rate: float
    name: str


class Meter:
    """Counts what is copied. All methods may be called in any thread.

    While entered, a thread tells `tell` how far the copy is, five times a second, also if nothing
    moves. A last call follows at the end. What `tell` raises ends the telling, and is raised by
    `__exit__` unless something else went wrong.

    Args:
        tell: the callback; None for nobody.
        clock: in seconds.
    """

    def __init__(
        self,
        tell: Callable[[Progress], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._marks: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._moved = 0
        self._had = 0
        self._files_done = 0
        self._files_total = 0
        self._total = 0
        self._name = ""
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Meter:  # noqa: PYI034 - Self is 3.11
        """Begin to tell."""
        if self._tell is not None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Tell the last state, then nothing more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_LAST_WORD_S)
        if kind is None and self._error is not None:
            raise self._error

    def expect(self, files: int, size: int) -> None:
        """There are so many more files, of so many bytes in total."""
        with self._lock:
            self._files_total += files
            self._total += size

    def had(self, size: int) -> None:
        """So many bytes need not be copied: an earlier run did."""
        with self._lock:
            self._had += size

    def begun(self, name: str) -> None:
        """This file is being copied, beside others."""
        with self._lock:
            self._name = name

    def moved(self, size: int) -> None:
        """So many bytes came over the link; fewer than 0 if they have to come again."""
        with self._lock:
            if self._moved == 0:
                self._marks = deque([(self._clock(), 0)])
            self._moved += size

    def finished(self, files: int = 1) -> None:
        """So many more files are complete."""
        with self._lock:
            self._files_done += files

    def now(self) -> Progress:
        """How far it is."""
        with self._lock:
            done = max(0, min(self._moved + self._had, self._total))
            files = (self._files_done, self._files_total)
            return Progress(done, self._total, *files, self._rate(), self._name)

    def _rate(self) -> float:
        now = self._clock()
        if now - self._marks[-1][0] >= _MARK_S:
            self._marks.append((now, self._moved))
        while len(self._marks) > 1 and now - self._marks[1][0] >= _WINDOW_S:
            self._marks.popleft()
        since, before = self._marks[0]
        return max(0.0, (self._moved - before) / max(now - since, _MARK_S))

    def _run(self) -> None:
        over = False
        while self._tell is not None and not over:
            over = self._over.wait(TICK_S)
            try:
                self._tell(self.now())
            except BaseException as error:  # noqa: BLE001 - raised at the end, in the caller's thread
                self._error = error
                return
