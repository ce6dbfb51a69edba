"""The part file of a download: `.NAME.sm-proxy-part` beside the target, with a map of its ranges.

It is locked, so that two copies to the same target never mix. From time to time it is synced, data
before map. When it is complete and right, it gets the target's name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from sm_proxy.local import atomic_write, process_identity
from sm_proxy.transfer.large.map_file import MapFile, Source
from sm_proxy.transfer.large.own_files import beside, disk_error, open_locked
from sm_proxy.transfer.large.ranges import RangeMap

_SYNC_S: Final = 5.0


class PartFile:
    """The part file of a download, locked; thread-safe.

    Args:
        target: the path of the complete file.
        source: what it will be.
        anew: whether to use nothing of an earlier run.
        clock: seconds.

    Raises:
        SmProxyError: `busy`; `copy-failed`, this machine's disk refuses it.
    """

    def __init__(
        self,
        target: str,
        source: Source,
        *,
        anew: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self._target = Path(target)
        self._path = Path(beside(target, "part"))
        self._clock = clock
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        # Where the boot is unknown, only what is synced counts in the next run.
        boot = process_identity.this_machine()["boot"] or uuid.uuid4().hex
        self._map = MapFile(Path(beside(target, "map")), source, boot)
        with self._explained_errors():
            if self._target.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            self._handle, new = open_locked(self._path, target)
        try:
            with self._explained_errors():
                self.ranges = self._begin(use=not (new or anew))
        except BaseException:
            self.close()
            raise
        self._synced_at = clock()

    def _begin(self, *, use: bool) -> RangeMap:
        ranges = self._map.load() if use else RangeMap(self.source.size)
        size = os.fstat(self._handle).st_size
        if ranges.done and ranges.done[-1][1] > size:
            ranges = RangeMap(self.source.size)
        if not ranges.covered or size > self.source.size:
            os.ftruncate(self._handle, self.source.size if ranges.covered else 0)
        if ranges.covered:
            os.fsync(self._handle)
        self._map.rewrite(ranges.done, ())
        return ranges

    def write(self, start: int, data: bytes) -> bool:
        """Write bytes and note them in the map; False if the file is closed.

        Raises:
            SmProxyError: `copy-failed`, the disk is full, ...
        """
        with self._explained_errors():
            with self._lock:
                if self._handle < 0:
                    return False
                os.lseek(self._handle, start, os.SEEK_SET)
                left = memoryview(data)
                while left:
                    left = left[os.write(self._handle, left) :]
            self._map.add(start, start + len(data))
        return True

    def read(self, start: int, end: int) -> bytes:
        """Bytes that were written; fewer if the file is closed."""
        with self._lock:
            if self._handle < 0:
                return b""
            os.lseek(self._handle, start, os.SEEK_SET)
            return os.read(self._handle, end - start)

    def maybe_sync(self, written: Callable[[], tuple[tuple[int, int], ...]]) -> None:
        """Sync it if that is due.

        Args:
            written: the ranges that are there.

        Raises:
            SmProxyError: `copy-failed`, the disk is full, ...
        """
        if self._clock() - self._synced_at < _SYNC_S or not self._syncing.acquire(blocking=False):
            return
        try:
            with self._explained_errors():
                done = written()
                copy = self._duplicate()
                if copy is None:
                    return
                try:
                    os.fsync(copy)
                finally:
                    os.close(copy)
                # Whatever is written in between is in the old map only, but also in `written`.
                self._map.rewrite(done, written())
        finally:
            self._synced_at = self._clock()
            self._syncing.release()

    def _duplicate(self) -> int | None:
        with self._lock:
            return os.dup(self._handle) if self._handle >= 0 else None

    def finish(self, mode: int, accessed: int, modified: int) -> None:
        """It is complete and right: give it its mode, times and name.

        Raises:
            SmProxyError: `copy-failed`, the disk refuses it.
        """
        with self._explained_errors():
            os.ftruncate(self._handle, self.source.size)
            os.fsync(self._handle)
            # Windows renames no open file; elsewhere the lock is held until it has its name.
            if sys.platform == "win32":
                self._close()
            self._path.chmod(mode & 0o777)
            os.utime(self._path, (accessed, modified))
            self._path.replace(self._target)
            atomic_write.sync_folder(self._target.parent)
        self._map.remove()
        self._close()

    def close(self) -> None:
        """Leave it for the next run."""
        self._map.close()
        self._close()

    def _close(self) -> None:
        with self._lock:
            handle, self._handle = self._handle, -1
            if handle >= 0:
                os.close(handle)

    @contextlib.contextmanager
    def _explained_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise disk_error(self._target, error) from None
