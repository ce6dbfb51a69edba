"""Small files, in batches that the connections share.

small = SmallFiles(entries, "down", connections)
problems = engine.run(small.works())
result = small.result()
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer import pipeline, small_file
from sm_proxy.transfer.checksums import Digests, Scripts
from sm_proxy.transfer.connection import Connection
from sm_proxy.transfer.model import Direction, Entry, Problem
from sm_proxy.transfer.progress import Meter
from sm_proxy.transfer.small_file import SmallFile
from sm_proxy.transfer.tree import problem

_SHARES, _FEWEST, _MOST = 40, 50, 200
"""About so many batches, of so many files: large ones wait less, small ones end together."""
_BYTES: Final = 1 << 20
"""Of a batch, which a slow session carries in 1.5 s."""
_AGAIN: Final = 2
"""How many times a file is sent again that changes all the time."""


@dataclass(frozen=True)
class Settled:
    """What has come of the small files.

    Attributes:
        files: those at their targets, complete.
        unverified: how many of them could not be verified, as the container has no tool for it.
        problems: of the others.
    """

    files: tuple[Entry, ...]
    unverified: int
    problems: tuple[Problem, ...]


class SmallFiles:
    """Files of at most `SMALL` bytes.

    Each is written under a temporary name, verified and renamed. What an earlier run has left is
    not sent again if its bytes are those of the source. A file that changed meanwhile is sent again
    a few times. A link at a target is replaced, not written through.

    Args:
        files: the folders of their targets exist.
        direction: `down` for files of the container.
        connections: to compute checksums in the container.
        meter: to count files that are complete, and bytes that are there already.
        verify: whether to compare checksums.
    """

    def __init__(
        self,
        files: Sequence[Entry],
        direction: Direction,
        connections: Scripts,
        meter: Meter | None = None,
        *,
        verify: bool = True,
    ) -> None:
        self._verify = verify
        self._meter = meter or Meter()
        self._direction: Direction = direction
        self._files = [small_file.small_file(entry, direction) for entry in files]
        self._digests = Digests(connections)
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._sent: list[SmallFile] = []
        self._works = [_Batch(self, files) for files in _batches(self._files)]
        self._unsent = set(self._works)

    def works(self) -> Sequence[_Batch]:
        """The batches, for the engine; it may run them in any order."""
        for file in self._files:
            file.reusable = self._verify
            if self._direction == "down" and self._verify:
                self._digests.expect(file.entry.source, None)
        return self._works

    def result(self) -> Settled:
        """What has come of them; after the engine has run their works."""
        return Settled(
            tuple(file.entry for file in self._files if file.placed),
            sum(file.placed and file.unverified for file in self._files),
            tuple(_problem(file) for file in self._files if not file.placed),
        )

    def close(self) -> None:
        """Ask for no further checksums."""
        self._digests.close()

    def send(
        self, files: Iterable[SmallFile], connection: Connection, moved: Callable[[int], None]
    ) -> None:
        """Send what is not sent yet; note those that fail."""
        todo = [file for file in files if not file.at and not file.settled]
        task = small_file.fetch if self._direction == "down" else small_file.store
        try:
            results = pipeline.runner(connection).run(task(file, moved) for file in todo)
        finally:  # those that came before the connection was lost are there
            self._queue([file for file in todo if file.at])
        for file, result in zip(todo, results, strict=True):
            if isinstance(result, OSError):
                file.error = result

    def _queue(self, sent: Sequence[SmallFile]) -> None:
        self._meter.had(sum(file.entry.size for file in sent if file.earlier))
        if self._direction == "up" and self._verify:
            for file in sent:
                self._digests.expect(file.at, None)
        with self._lock:
            self._sent += sent

    def settle(self, batch: _Batch, connection: Connection, moved: Callable[[int], None]) -> None:
        """Verify and place what can be; after the last batch, wait for the rest."""
        with self._lock:
            self._unsent.discard(batch)
            last = not self._unsent
        if last:
            with self._settling:
                self._finish(connection, moved)
        elif self._settling.acquire(blocking=False):
            try:
                with self._lock:
                    sent, self._sent = self._sent, []
                ready: list[SmallFile] = []
                later: list[SmallFile] = []
                for file in sent:
                    (ready if self._is_known(file) else later).append(file)
                self._place(ready, connection)
                with self._lock:
                    self._sent += later
            finally:
                self._settling.release()

    def _finish(self, connection: Connection, moved: Callable[[int], None]) -> None:
        while left := [file for file in self._files if not file.settled]:
            for files in _batches(left):
                self.send(files, connection, moved)
            left = [file for file in left if not file.settled]
            self._place(left, connection)
            for file in left:
                if not file.settled:
                    self._prepare_again(file, moved)
        failed = [file for file in self._files if file.error and file.at == file.part]
        if self._direction == "up":
            pipeline.runner(connection).run(small_file.discard_there(file) for file in failed)
        else:
            for file in failed:
                small_file.discard_here(file)

    def _prepare_again(self, file: SmallFile, moved: Callable[[int], None]) -> None:
        if file.earlier:
            self._meter.had(-file.entry.size)
        else:
            moved(-file.entry.size)
        if self._direction == "down" and self._verify:
            self._digests.expect(file.entry.source, None)
        file.at, file.earlier, file.renaming, file.reusable = "", False, False, False
        file.again += 1

    def _is_known(self, file: SmallFile) -> bool:
        return not self._verify or self._digests.ready(self._path(file))

    def _path(self, file: SmallFile) -> str:
        return file.entry.source if self._direction == "down" else file.at

    def _place(self, files: Sequence[SmallFile], connection: Connection) -> None:
        """Place those whose bytes are the source's; the others are not settled, or have failed."""
        good = [file for file in files if self._is_good(file)]
        if self._direction == "up":
            tasks = (small_file.place_there(file) for file in good)
            results: Sequence[OSError | None] = pipeline.runner(connection).run(tasks)
        else:
            results = [_placed_here(file) for file in good]
        for file, result in zip(good, results, strict=True):
            file.error, file.placed = result, result is None
        self._meter.finished(sum(file.placed for file in good))

    def _is_good(self, file: SmallFile) -> bool:
        """Whether its bytes are the source's, as far as anybody can tell."""
        digest = None
        if self._verify:
            try:
                digest = self._digests.get(self._path(file))
            except SmProxyError as error:
                if error.code != "unsupported":
                    file.error = SmProxyError(
                        "not-verified", f"{file.entry.source}: {error.message}", error.hint
                    )
                    return False
                self._verify = False
        file.unverified = not self._verify
        if file.unverified and file.steady and not file.earlier:
            return True
        if digest == file.digest:
            return True
        if file.again >= _AGAIN:
            file.error = self._changed(file)
        return False

    def _changed(self, file: SmallFile) -> SmProxyError:
        source = file.entry.source
        if self._direction == "down":
            return SmProxyError(
                "source-changed",
                f"{source}: it changed each time that it was copied",
                "Copy it again when nobody writes to it",
            )
        return SmProxyError(
            "not-verified", f"{source}: {file.entry.target} in the container had other bytes"
        )


class _Batch:
    """Some of the small files: a `Work` of the engine."""

    def __init__(self, whole: SmallFiles, files: Sequence[SmallFile]) -> None:
        self._whole, self._files = whole, files
        self.path = files[0].entry.source
        self.size = sum(file.entry.size for file in files)

    def run(self, connection: Connection, moved: Callable[[int], None]) -> None:
        """Send them, or those that are left; see `Work`."""
        self._whole.send(self._files, connection, moved)
        self._whole.settle(self, connection, moved)


def _batches(files: Sequence[SmallFile]) -> Iterator[list[SmallFile]]:
    most = min(max(len(files) // _SHARES, _FEWEST), _MOST)
    batch: list[SmallFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == most or size + file.entry.size > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.entry.size
    if batch:
        yield batch


def _placed_here(file: SmallFile) -> OSError | None:
    try:
        small_file.place_here(file)
    except OSError as error:
        return error
    return None


def _problem(file: SmallFile) -> Problem:
    if isinstance(file.error, SmProxyError):
        return Problem(file.entry.source, file.error)
    return problem(file.entry.source, file.error or "it was not copied")
