"""The SHA-256 of a file that arrives out of order, computed as its beginning grows."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Final

_STEP: Final = 1 << 20
_STEPS: Final = 4
"""More at a time would hold up the connection of the thread that computes."""


class PrefixDigest:
    """Reads each byte of a file once, while it is still in the system's cache; thread-safe.

    Args:
        read: the bytes `[start, end)`; fewer at the file's end.
    """

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self._digest = hashlib.sha256()
        self._done = 0
        self._lock = threading.Lock()

    def follow(self, prefix: int) -> None:
        """The first `prefix` bytes are there: digest them, unless another thread does."""
        if prefix - self._done < _STEP or not self._lock.acquire(blocking=False):
            return
        try:
            self._advance(min(prefix, self._done + _STEPS * _STEP))
        finally:
            self._lock.release()

    def of(self, size: int) -> str:
        """The hexadecimal digest of the first `size` bytes, which are all there."""
        with self._lock:
            self._advance(size)
            return self._digest.hexdigest()

    def _advance(self, end: int) -> None:
        while self._done < end:
            data = self._read(self._done, min(end, self._done + _STEP))
            if not data:
                return
            self._digest.update(data)
            self._done += len(data)
