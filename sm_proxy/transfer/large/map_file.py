"""The map of a copy on disk: which ranges of a file are there.

Its first line names the source, so that bytes of another one are not used. A line for each range
follows when it has been written. A killed process loses none of these: its writes are in the
system's cache. After a power cut they may be lost, so these lines count only in the boot that wrote
them; the first line lists the ranges that survive.

A map that is torn, damaged or of another source counts as absent.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sm_proxy.transfer.large.own_files import NEW, SAFE, is_ours
from sm_proxy.transfer.large.ranges import RangeMap

_VERSION: Final = 1
_MAP_LIMIT: Final = 32 << 20


@dataclass(frozen=True)
class Source:
    """What a part file is a part of.

    Attributes:
        path: of the source, on its side.
        size: in bytes.
        modified: its time of modification, in Unix seconds.
        place: the host, container and direction.
    """

    path: str
    size: int
    modified: int
    place: str


class MapFile:
    """The map on disk; thread-safe.

    Args:
        path: of the map.
        source: that it must be of.
        boot: of this machine, if ranges that were not synced are lost with it; empty if not.
    """

    def __init__(self, path: Path, source: Source, boot: str = "") -> None:
        self._path = path
        self._head = {"version": _VERSION, "source": asdict(source), "boot": boot}
        self._size = source.size
        self._lock = threading.Lock()
        self._file: Any = None
        self._over = False

    def load(self) -> RangeMap:
        """What it says is there; nothing, if it cannot be used."""
        ranges = RangeMap(self._size)
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
            lines = self._read().split(b"\n")
            head = json.loads(lines[0])
            synced = head.pop("synced")
            same_boot = head.pop("boot") == self._head["boot"]
            if head != {key: self._head[key] for key in ("version", "source")}:
                return ranges
            found = RangeMap(self._size, [(int(start), int(end)) for start, end in synced])
            ranges = found
            # The last line is empty, or torn.
            for line in lines[1:-1] if same_boot else ():
                start, end = line.split()
                ranges.add(int(start), int(end))
        return ranges

    def rewrite(
        self, synced: Sequence[tuple[int, int]], written: Sequence[tuple[int, int]]
    ) -> None:
        """Replace it: `synced` is safe on the disk, `written` is there as well.

        Does nothing after `close` and `remove`: the file is complete by then, or has begun anew.

        Raises:
            OSError: the disk is full, ...
        """
        lines = [json.dumps({**self._head, "synced": list(synced)})]
        lines += [f"{start} {end}" for start, end in written]
        new = self._path.with_name(f"{self._path.name}-new")
        with self._lock:
            if self._over:
                return
            self._end_lines()
            with contextlib.suppress(FileNotFoundError):
                new.unlink()
            with os.fdopen(os.open(new, os.O_WRONLY | NEW | SAFE, 0o600), "wb") as file:
                file.write("".join(f"{line}\n" for line in lines).encode())
                file.flush()
                if synced:
                    os.fsync(file.fileno())
            new.replace(self._path)
            self._file = self._path.open("ab", buffering=0)

    def add(self, start: int, end: int) -> None:
        """`[start, end)` has been written.

        Raises:
            OSError: the disk is full, ...
        """
        with self._lock:
            if self._file is not None:
                self._file.write(f"{start} {end}\n".encode())

    def close(self) -> None:
        """Leave it for the next run."""
        with self._lock:
            self._close()

    def remove(self) -> None:
        """It is of no use any more."""
        with self._lock:
            self._close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _close(self) -> None:
        self._over = True
        self._end_lines()

    def _end_lines(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> bytes:
        with os.fdopen(os.open(self._path, os.O_RDONLY | SAFE), "rb") as file:
            return file.read(_MAP_LIMIT) if is_ours(os.fstat(file.fileno())) else b""
