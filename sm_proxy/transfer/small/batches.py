"""Small files, which the connections share.

small = SmallFiles(entries, "down", connections)
problems = engine.run(small.works())
result = small.result()
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.checksums import Digests, Scripts
from sm_proxy.transfer.model import Direction, Entry, Problem
from sm_proxy.transfer.progress import Meter
from sm_proxy.transfer.small import small_file
from sm_proxy.transfer.small.small_file import SmallFile
from sm_proxy.transfer.ssh import pipeline
from sm_proxy.transfer.ssh.connection import Connection
from sm_proxy.transfer.ssh.pipeline import Task
from sm_proxy.transfer.trees.tree import problem

_SHARE, _SHARES = 16, 64
"""Files that are worth a connection of their own, and the most shares that there are."""
_ROUND_FILES, _ROUND_BYTES = 500, 2 << 20
"""After so many a connection places what is verified; so many bytes may be in memory."""
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
        self._waiting = deque(self._files)
        self._sending = 0
        self._finishing = False

    def works(self) -> Sequence[_Share]:
        """Shares for the engine; each connection that runs one takes files while there are any."""
        for file in self._files:
            file.reusable = self._verify
            if self._direction == "down" and self._verify:
                self._digests.expect(file.entry.source, None)
        count = min(-(-len(self._files) // _SHARE), _SHARES)
        total = sum(file.entry.size for file in self._files)
        return [_Share(self, self._files[0].entry.source, total // count) for _ in range(count)]

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

    def run(self, connection: Connection, moved: Callable[[int], None]) -> None:
        """Send files while there are any, and place those that are verified."""
        while self._waiting:
            with self._lock:
                self._sending += 1
            try:
                self._send(self._round(self._waiting), connection, moved)
            finally:
                with self._lock:
                    self._sending -= 1
            self._place_some(connection)
        with self._lock:
            last = not (self._waiting or self._sending or self._finishing)
            self._finishing |= last
        if last:
            try:
                with self._settling:
                    self._finish(connection, moved)
            finally:
                self._finishing = False

    def _round(self, waiting: deque[SmallFile]) -> Iterator[SmallFile]:
        """The next files: each is taken when the connection is ready for it."""
        size = 0
        for _ in range(_ROUND_FILES):
            try:
                file = waiting.popleft()
            except IndexError:
                return
            if self._direction == "down" and 2 * len(waiting) < len(self._files):
                self._digests.begin()  # they come while the rest is sent
            yield file
            size += file.entry.size
            if size > _ROUND_BYTES:
                return

    def _send(
        self, files: Iterator[SmallFile], connection: Connection, moved: Callable[[int], None]
    ) -> None:
        """Send files; note those that fail. If the connection is lost, the others wait again."""
        taken: list[SmallFile] = []
        task = small_file.fetch if self._direction == "down" else small_file.store

        def tasks() -> Iterator[Task[None]]:
            for file in files:
                taken.append(file)
                yield task(file, moved)

        results: Sequence[OSError | None] = ()
        try:
            results = pipeline.runner(connection).run(tasks())
        finally:
            for file, result in zip(taken, results, strict=False):
                file.error = file.error or result
            again = [file for file in taken if not file.at and not file.error]
            for file in again:
                file.suspect = True
            self._waiting.extend(again)
            self._queue([file for file in taken if file.at])

    def _queue(self, sent: Sequence[SmallFile]) -> None:
        self._meter.had(sum(file.entry.size for file in sent if file.earlier))
        if self._direction == "up" and self._verify:
            for file in sent:
                self._digests.expect(file.at, None)
        with self._lock:
            self._sent += sent

    def _place_some(self, connection: Connection) -> None:
        """Place those whose checksums have come, unless another connection does."""
        if not self._settling.acquire(blocking=False):
            return
        try:
            with self._lock:
                sent, self._sent = self._sent, []
            ready: list[SmallFile] = []
            later: list[SmallFile] = []
            for file in sent:
                (ready if self._is_known(file) else later).append(file)
            with self._lock:
                self._sent += later
            self._place(ready, connection)
        finally:
            self._settling.release()

    def _finish(self, connection: Connection, moved: Callable[[int], None]) -> None:
        """Place what is left; send again what has changed."""
        while left := [file for file in self._files if not file.settled]:
            changed = deque(file for file in left if not file.at)
            while changed:
                self._send(self._round(changed), connection, moved)
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
            results = pipeline.runner(connection).run(tasks)
            for file, result in zip(good, results, strict=True):
                file.error, file.placed = result, result is None
        else:
            for file in good:
                small_file.place_here(file)
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
                "Copy it again when nothing writes to it.",
            )
        return SmProxyError(
            "not-verified", f"{source}: {file.entry.target} in the container differs from it"
        )


class _Share:
    """A `Work` of the engine: what one connection can take of the small files."""

    def __init__(self, whole: SmallFiles, path: str, size: int) -> None:
        self._whole = whole
        self.path = path
        self.size = size

    def run(self, connection: Connection, moved: Callable[[int], None]) -> None:
        """See `Work`."""
        self._whole.run(connection, moved)


def _problem(file: SmallFile) -> Problem:
    if isinstance(file.error, SmProxyError):
        return Problem(file.entry.source, file.error)
    return problem(file.entry.source, file.error or "it was not copied")
