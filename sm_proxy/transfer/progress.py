"""How far a copy is: counted in many threads, told to one callback, a few times a second."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_EACH_S: Final = 0.1
"""The callback is called at most so often, and at the end."""
_WINDOW_S: Final = 5.0
"""The rate is that of the last seconds."""


@dataclass(frozen=True)
class Progress:
    """How far a copy is.

    Attributes:
        bytes_done: of all files, those that an earlier run copied included.
        bytes_total: of all files.
        files_done: how many are complete.
        files_total: how many there are.
        rate: bytes per second in the last 5 s, over the link.
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

    Args:
        tell: called with a `Progress`, by one thread at a time; None for nobody. It must be quick,
            because the thread that calls it copies.
        clock: in seconds.
    """

    def __init__(
        self,
        tell: Callable[[Progress], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._marks: deque[tuple[float, int]] = deque()
        self._told = clock() - _EACH_S
        self._moved = 0
        self._had = 0
        self._files_done = 0
        self._files_total = 0
        self._total = 0
        self._name = ""

    def expect(self, files: int, size: int) -> None:
        """There are so many more files, of so many bytes in total."""
        with self._lock:
            self._files_total += files
            self._total += size

    def had(self, size: int) -> None:
        """So many bytes need not be copied: an earlier run did."""
        with self._lock:
            self._had += size
        self._maybe_tell()

    def moved(self, size: int, name: str = "") -> None:
        """So many bytes came over the link; fewer than 0 if they have to come again."""
        with self._lock:
            now = self._clock()
            if not self._marks:
                self._marks.append((now, 0))
            self._moved += size
            self._name = name or self._name
            if now - self._marks[-1][0] >= _EACH_S:
                self._marks.append((now, self._moved))
            while len(self._marks) > 1 and now - self._marks[1][0] > _WINDOW_S:
                self._marks.popleft()
        self._maybe_tell()

    def finished(self, files: int = 1) -> None:
        """So many more files are complete."""
        with self._lock:
            self._files_done += files
        self._maybe_tell()

    def now(self) -> Progress:
        """How far it is."""
        with self._lock:
            done = max(0, min(self._moved + self._had, self._total))
            files = (self._files_done, self._files_total)
            return Progress(done, self._total, *files, self._rate(), self._name)

    def end(self) -> None:
        """Tell the last state, whenever the one before was told."""
        if self._tell is not None:
            with self._telling:
                self._tell(self.now())

    def _rate(self) -> float:
        if not self._marks:
            return 0.0
        since, before = self._marks[0]
        return max(0.0, (self._moved - before) / max(self._clock() - since, _EACH_S))

    def _maybe_tell(self) -> None:
        if self._tell is None or self._clock() - self._told < _EACH_S:
            return
        if not self._telling.acquire(blocking=False):
            return  # another thread is telling
        try:
            self._told = self._clock()
            self._tell(self.now())
        finally:
            self._telling.release()
