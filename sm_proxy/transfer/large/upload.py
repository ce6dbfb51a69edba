"""Large files into the container: in ranges, into a part file beside each target.

The map of what the server has confirmed is on this machine, in the cache folder: the source's
folder may be read-only. A part file's holes look like data, so it is nothing without its map.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths, private_files, process_identity
from sm_proxy.transfer.checksums import Digests
from sm_proxy.transfer.large import ranged
from sm_proxy.transfer.large.download import where
from sm_proxy.transfer.large.large_files import (
    Attempt,
    Copied,
    Group,
    Moved,
    Share,
    Transfer,
    Verdict,
)
from sm_proxy.transfer.large.map_file import MapFile, Source
from sm_proxy.transfer.large.own_files import SAFE, beside, disk_error, open_locked
from sm_proxy.transfer.large.prefix_digest import PrefixDigest
from sm_proxy.transfer.large.ranges import Claims, RangeMap
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.progress import Meter
from sm_proxy.transfer.ssh.connection import Connection
from sm_proxy.transfer.ssh.connections import Connections

_KEPT_S: Final = 14 * 24 * 3600.0


def works_for(
    entries: Sequence[Entry], connections: Connections, meter: Meter, *, verify: bool = True
) -> tuple[list[Share], Copied]:
    """As `download.works_for`, source on this machine; run them by `Engine(..., gently=True)`."""
    group = Group(Digests(connections), meter, verify=verify)
    place = where(connections)
    _sweep()
    works = group.works([_Upload(entry, group, place) for entry in entries], connections.most)
    return works, group.copied


class LocalSource:
    """The file to send, open; thread-safe.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        # A link may be followed; a pipe must not hold us up.
        self._handle = os.open(path, os.O_RDONLY | (SAFE & ~getattr(os, "O_NOFOLLOW", 0)))
        if not stat.S_ISREG(os.fstat(self._handle).st_mode):
            self.close()
            raise OSError(errno.EINVAL, "it is not a regular file")

    def look(self) -> tuple[int, int]:
        """Its size in bytes and its time of modification in nanoseconds."""
        with self._lock:
            found = os.fstat(self._handle)
        return found.st_size, found.st_mtime_ns

    def read(self, start: int, end: int) -> bytes:
        """The bytes `[start, end)`, fewer at its end or if it is closed."""
        with self._lock:
            if self._handle < 0:
                return b""
            os.lseek(self._handle, start, os.SEEK_SET)
            parts = []
            while start < end and (part := os.read(self._handle, end - start)):
                parts.append(part)
                start += len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close it."""
        with self._lock:
            handle, self._handle = self._handle, -1
            if handle >= 0:
                os.close(handle)


class _UpAttempt(Attempt):
    def __init__(self, local: LocalSource, then: tuple[int, int], memory: _Memory) -> None:
        super().__init__(then[0], Claims(memory.ranges))
        self.local = local
        self.then = then
        self.memory = memory
        self.digest = PrefixDigest(local.read)

    def keep(self, owner: object, start: int, end: int, moved: Moved) -> bool:
        """Note what the server has confirmed."""
        self.memory.add(start, end)
        moved(self.claims.done(owner, start, end))
        self.digest.follow(self.claims.prefix)
        return True

    def close(self) -> None:
        self.local.close()
        self.memory.close()


class _Memory:
    """The state of an upload on the other side: a map in the cache folder, and its lock.

    Raises:
        SmProxyError: `busy`, another copy sends this file there; `copy-failed`, the cache folder
            cannot be used.
    """

    def __init__(self, name: str, source: Source, target: str) -> None:
        folder = _folder()
        self._path = folder / f"{name}.lock"
        self._map = MapFile(folder / f"{name}.map", source)
        self._lock = threading.Lock()
        try:
            private_files.ensure_own_dir(folder)
            self._handle, _ = open_locked(self._path, target)
        except OSError as error:
            raise disk_error(folder, error) from None
        self.ranges = self._map.load()

    def begin(self, ranges: RangeMap) -> None:
        """From now on `ranges` are there."""
        self.ranges = ranges
        with self._explained_errors():
            self._map.rewrite(ranges.done, ())

    def add(self, start: int, end: int) -> None:
        """`[start, end)` is there."""
        with self._explained_errors():
            self._map.add(start, end)

    def remove(self) -> None:
        """The file is complete."""
        self._map.remove()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def close(self) -> None:
        """Leave it for the next run."""
        self._map.close()
        with self._lock:
            handle, self._handle = self._handle, -1
            if handle >= 0:
                os.close(handle)

    @contextlib.contextmanager
    def _explained_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise disk_error(self._path, error) from None


def _folder() -> Path:
    return paths.cache_dir() / "uploads"


def _sweep() -> None:
    """Remove the maps of abandoned uploads."""
    with contextlib.suppress(OSError):
        for path in _folder().iterdir():
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < time.time() - _KEPT_S:
                    path.unlink()


class _Upload(Transfer):
    def __init__(self, entry: Entry, group: Group, place: str) -> None:
        super().__init__(entry, group)
        self._expected = entry.size
        self._place = f"up {place} {entry.target}"
        # Its own for each machine and source: two copies to one target never mix their bytes.
        machine = process_identity.this_machine()["machine"]
        words = [machine, str(Path(entry.source).absolute()), self._place]
        self._name = hashlib.sha256(os.fsencode("\0".join(words))).hexdigest()[:24]
        self._part = beside(entry.target, f"part-{self._name[:8]}")

    @property
    def digest_of(self) -> str:
        return self._part

    def begin(self, connection: Connection) -> Attempt:
        self._refuse_what_is_no_file(connection)
        local = LocalSource(self.entry.source)
        try:
            then = local.look()
            self.group.meter.expect(0, then[0] - self._expected)
            self._expected = then[0]
            source = Source(self.entry.source, then[0], then[1], self._place)
            memory = _Memory(self._name, source, self.entry.target)
        except BaseException:
            local.close()
            raise
        attempt = _UpAttempt(local, then, memory)
        try:
            self._resume(connection, attempt)
        except BaseException:
            attempt.close()
            raise
        return attempt

    def _refuse_what_is_no_file(self, connection: Connection) -> None:
        """A rename would fail at the end, or replace a device."""
        with contextlib.suppress(FileNotFoundError):
            found = stat.S_IFMT(connection.sftp.stat(self.entry.target).st_mode or 0)
            if found not in {stat.S_IFREG, 0}:
                kind = "a folder" if found == stat.S_IFDIR else "no file"
                raise SmProxyError("copy-failed", f"{self.entry.target} is {kind} there")

    def _resume(self, connection: Connection, attempt: _UpAttempt) -> None:
        """Go on with a part file that is as long as the map says; else make a new one."""
        ranges = attempt.memory.ranges if self.tries == 1 else RangeMap(attempt.size)
        if ranges.covered:
            size = 0
            with contextlib.suppress(FileNotFoundError):
                size = connection.sftp.lstat(self._part).st_size or 0
            if not ranges.done[-1][1] <= size <= attempt.size:
                ranges = RangeMap(attempt.size)
        if not ranges.covered:
            with contextlib.suppress(FileNotFoundError):  # a link there would be followed
                connection.sftp.remove(self._part)
            ranged.open_to_write(connection, self._part, anew=True).close()
        attempt.memory.begin(ranges)
        attempt.claims = Claims(ranges)

    def move(self, connection: Connection, attempt: Attempt, owner: object, moved: Moved) -> bool:
        assert isinstance(attempt, _UpAttempt)  # noqa: S101 - `begin` made it
        file = ranged.open_to_write(connection, self._part, anew=False)
        try:
            ending = file.store(
                lambda in_flight: attempt.next_piece(owner, in_flight),
                attempt.local.read,
                lambda start, end: attempt.keep(owner, start, end, moved),
            )
        except OSError as error:
            raise self._refused(connection, error) from error
        file.close()
        return ending != "ended"

    def _refused(self, connection: Connection, error: OSError) -> Exception:
        """SFTP has no word for a full disk: OpenSSH says "Failure"."""
        if isinstance(error, PermissionError) or connection.failure(error) is not None:
            return error
        return SmProxyError(
            "copy-failed",
            f"{self.entry.target}: the container cannot write it ({error}); its disk may be full",
            "Look with `df -h` there, then run it again: it resumes where it stopped.",
        )

    def complete(self, attempt: Attempt) -> None:
        if self.group.verify:
            self.group.digests.expect(self._part, attempt.size)

    def finish(self, connection: Connection, attempt: Attempt) -> Verdict:
        assert isinstance(attempt, _UpAttempt)  # noqa: S101 - `begin` made it
        theirs = self.group.digest(self)
        now = attempt.local.look()
        grew = now[0] > attempt.size
        changed = now != attempt.then
        ours = attempt.digest.of(attempt.size)
        if changed and theirs not in {None, ours}:  # it may have been written since we sent it
            ours = PrefixDigest(attempt.local.read).of(attempt.size)
        sftp = connection.sftp
        same = theirs == ours if theirs else not changed or grew
        if not same or sftp.lstat(self._part).st_size != attempt.size:
            return self._differs(changed=changed)
        sftp.chmod(self._part, self.entry.mode & 0o777)
        sftp.utime(self._part, (self.entry.accessed, attempt.then[1] // 10**9))
        sftp.posix_rename(self._part, self.entry.target)
        attempt.memory.remove()
        if grew:
            self.group.copied.note(
                f"{self.entry.source} grew while it was copied: the first {attempt.size} bytes are "
                "copied"
            )
        self.done(attempt, verified=theirs is not None)
        return "done"

    def _differs(self, *, changed: bool) -> Verdict:
        if not changed and self.tries > 1:
            raise SmProxyError(
                "not-verified",
                f"{self.entry.target}: its SHA-256 in the container differs from the source's, "
                "twice",
                "Does something write to it there? Copy it again.",
            )
        return "anew"
