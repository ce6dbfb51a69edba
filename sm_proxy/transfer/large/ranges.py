"""Which bytes of a file are there, and who fetches the others.

`RangeMap` is what is there: pure, and what the map file beside a part file keeps. `Claims` shares
out the rest in pieces, to several threads. Each session takes the first free piece: so no slow
session delays a file, the copied part grows from the front, and the server reads in order.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

PIECE: Final = 32 << 10
"""Bytes of one request: the most that every SFTP server answers at once (paramiko's limit, too)."""


class RangeMap:
    """The parts of a file that are there: ranges `[start, end)` that neither overlap nor touch.

    Args:
        size: of the file, in bytes.
        done: the ranges to begin with.

    Raises:
        ValueError: a range is empty, negative, or lies outside the file.
    """

    def __init__(self, size: int, done: Iterable[tuple[int, int]] = ()) -> None:
        if size < 0:
            raise ValueError(f"a file has no {size} bytes")
        self.size = size
        self.covered = 0
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in done:
            self.add(start, end)

    def add(self, start: int, end: int) -> int:
        """Mark `[start, end)` as there.

        Returns:
            how many bytes of it were not there before.

        Raises:
            ValueError: it is empty, negative, or lies outside the file.
        """
        if not 0 <= start < end <= self.size:
            raise ValueError(f"no range of {self.size} bytes: {start} to {end}")
        first = bisect.bisect_left(self._ends, start)  # the first that overlaps or touches it
        last = bisect.bisect_right(self._starts, end)
        before = sum(self._ends[i] - self._starts[i] for i in range(first, last))
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        new = end - start - before
        self.covered += new
        return new

    @property
    def done(self) -> tuple[tuple[int, int], ...]:
        """The ranges that are there, in order."""
        return tuple(zip(self._starts, self._ends, strict=True))

    @property
    def complete(self) -> bool:
        """Whether every byte is there."""
        return self.covered == self.size

    @property
    def prefix(self) -> int:
        """How many bytes are there from the file's start on."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def missing(self, start: int, most: int) -> tuple[int, int] | None:
        """The first part that is missing from `start` on, at most `most` bytes of it; or None."""
        at = bisect.bisect_right(self._starts, start)
        if at and self._ends[at - 1] > start:
            start = self._ends[at - 1]
        end = self._starts[at] if at < len(self._starts) else self.size
        return (start, min(end, start + most)) if start < end else None


@dataclass
class _Claim:
    start: int
    end: int
    owner: object
    since: float
    helped: bool = False


class Claims:
    """Shares out the missing pieces of a file; thread-safe.

    Args:
        ranges: what is there already; from now on only this object changes it.
        clock: seconds, as `time.monotonic`.
    """

    STALLED_S: Final = 1.5
    """An answer that takes longer is asked for over another session as well."""

    def __init__(self, ranges: RangeMap, clock: Callable[[], float] = time.monotonic) -> None:
        self._ranges = ranges
        self._clock = clock
        self._lock = threading.Lock()
        self._frontier = 0
        self._free: list[tuple[int, int]] = []
        self._claims: dict[tuple[object, int], _Claim] = {}

    def claim(self, owner: object, most: int = PIECE) -> tuple[int, int] | None:
        """A missing piece for `owner` to fetch, at most `most` bytes long; None if there is none.

        At the end it may be one that another owner has waited for too long.
        """
        with self._lock:
            found = self._next(most)
            helped = found is None
            if found is None:
                found = self._stalled(owner)
            if found is None:
                return None
            start, end = found
            self._claims[owner, start] = _Claim(start, end, owner, self._clock(), helped)
            return found

    def done(self, owner: object, start: int, end: int) -> int:
        """`[start, end)` is there; `start` is as claimed, and a shorter end gives the rest back.

        Returns:
            how many bytes of it are new.
        """
        with self._lock:
            claim = self._claims.pop((owner, start), None)
            new = self._ranges.add(start, end)
            if claim is not None and end < claim.end:
                self._free.append((end, claim.end))
            return new

    def release(self, owner: object) -> None:
        """Give back whatever `owner` has claimed: its session is lost, or it stops."""
        with self._lock:
            for key in [key for key in self._claims if key[0] is owner]:
                claim = self._claims.pop(key)
                self._free.append((claim.start, claim.end))

    @property
    def claimable(self) -> bool:
        """Whether a new owner would find something to do now."""
        with self._lock:
            return self._unclaimed() > 0 or self._slow(None) is not None

    @property
    def unclaimed(self) -> int:
        """How many bytes are not claimed yet; at most, where some were fetched twice."""
        with self._lock:
            return self._unclaimed()

    @property
    def complete(self) -> bool:
        """Whether every byte is there."""
        with self._lock:
            return self._ranges.complete

    @property
    def prefix(self) -> int:
        """How many bytes are there from the file's start on."""
        with self._lock:
            return self._ranges.prefix

    @property
    def covered(self) -> int:
        """How many bytes are there."""
        with self._lock:
            return self._ranges.covered

    def has(self, start: int, end: int) -> bool:
        """Whether all of `[start, end)` is there."""
        with self._lock:
            missing = self._ranges.missing(start, end - start)
            return missing is None or missing[0] >= end

    def snapshot(self) -> tuple[tuple[int, int], ...]:
        """The ranges that are there now."""
        with self._lock:
            return self._ranges.done

    def _unclaimed(self) -> int:
        waiting = sum(claim.end - claim.start for claim in self._claims.values())
        return max(0, self._ranges.size - self._ranges.covered - waiting)

    def _next(self, most: int) -> tuple[int, int] | None:
        while self._free:  # a piece that came back may have arrived another way
            start, end = self._free.pop()
            found = self._ranges.missing(start, most)
            if found is None or found[0] >= end:
                continue
            stop = min(found[1], end)
            if stop < end:
                self._free.append((stop, end))
            return found[0], stop
        found = self._ranges.missing(self._frontier, most)
        self._frontier = found[1] if found else self._ranges.size
        return found

    def _stalled(self, owner: object) -> tuple[int, int] | None:
        slow = self._slow(owner)
        if slow is None:
            return None
        slow.helped = True
        return slow.start, slow.end

    def _slow(self, owner: object) -> _Claim | None:
        """The claim that has waited longest, unless it was helped already or is `owner`'s own.

        Only where the others have nothing else to do: a session that is merely slow keeps its own.
        """
        oldest = min(
            (c for c in self._claims.values() if c.owner is not owner and not c.helped),
            key=lambda claim: claim.since,
            default=None,
        )
        if oldest is None or self._clock() - oldest.since < self.STALLED_S:
            return None
        return oldest
