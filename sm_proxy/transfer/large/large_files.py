"""Large files in ranges: what downloads and uploads have in common.

A file is a `Transfer`. Several connections have a `Share` of it at once; each takes pieces until
none is left. When all are there, and the digest of the other side is known, a `Finish` verifies the
file and gives it its name. A file that changed meanwhile begins anew, once.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.checksums import Digests
from sm_proxy.transfer.engine import Work, copy_failed, lost_connection
from sm_proxy.transfer.large.ranges import PIECE, Claims
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.progress import Meter
from sm_proxy.transfer.ssh.connection import Connection

Verdict: TypeAlias = Literal["done", "wait", "anew"]
Moved: TypeAlias = Callable[[int], None]

SHARE: Final = 512 << 10
"""Bytes of a file for each share, up to one share for each connection."""
TRIES: Final = 2
_UNREACHABLE: Final = frozenset({"network", "throttled", "session-lost", "sshd-silent"})


@dataclass
class Copied:
    """The outcome of the large files. Filled in while the engine runs; read it afterwards.

    Attributes:
        files: how many are at their targets.
        bytes: the sum of their sizes.
        verified: whether the SHA-256 of each agrees with its source's.
        notes: lines for the user, such as that a file grew while it was copied.
    """

    files: int = 0
    bytes: int = 0
    verified: bool = True
    notes: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Add a line for the user, once."""
        if line not in self.notes:
            self.notes.append(line)


class Attempt(ABC):
    """One try to copy a file, with its part file; thread-safe.

    Attributes:
        size: of the file, in bytes.
        claims: which pieces are missing.
        moved: how many bytes came over the link.
        users: how many connections work on it.
    """

    def __init__(self, size: int, claims: Claims) -> None:
        self.size = size
        self.claims = claims
        self.moved = 0
        self.users = 0

    def next_piece(self, owner: object, in_flight: int) -> tuple[int, int] | None:
        """The next piece; towards the end of the file, each connection has fewer in flight."""
        fair = self.claims.unclaimed // max(1, self.users)
        if in_flight >= 2 * PIECE and in_flight > fair:
            return None
        return self.claims.claim(owner)

    @abstractmethod
    def close(self) -> None:
        """Leave what is there for the next run."""


class Transfer(ABC):
    """One large file.

    Attributes:
        entry: what to copy.
        over: whether it is at its target, or given up.
        suspect: whether a connection was lost while it was copied.
    """

    def __init__(self, entry: Entry, group: Group) -> None:
        self.entry = entry
        self.group = group
        self.over = self.suspect = False
        self.tries = 1
        self.rechecked = False
        self._attempt: Attempt | None = None
        self._lock = threading.Lock()
        self._beginning = threading.Lock()
        self.finishing = threading.Lock()

    @abstractmethod
    def begin(self, connection: Connection) -> Attempt:
        """Open the part file.

        Raises:
            SmProxyError: the file cannot be copied.
            Exception: of `connection.sftp`.
        """

    @abstractmethod
    def move(self, connection: Connection, attempt: Attempt, owner: object, moved: Moved) -> bool:
        """Copy pieces until none can be claimed; False if the source has ended too early."""

    @abstractmethod
    def complete(self, attempt: Attempt) -> None:
        """Every byte is there."""

    @property
    @abstractmethod
    def digest_of(self) -> str:
        """The path in the container whose digest `finish` needs."""

    @abstractmethod
    def finish(self, connection: Connection, attempt: Attempt) -> Verdict:
        """Verify the file, and give it its name.

        Raises:
            SmProxyError: it is not the source's content.
            Exception: of `connection.sftp`.
        """

    @property
    def attempt(self) -> Attempt | None:
        """The current one."""
        return self._attempt

    def share(self, connection: Connection, moved: Moved) -> None:
        """Copy pieces over a connection until nothing can be claimed; raises as `Work.run`."""
        while (attempt := self._begun(connection)) is not None:
            to_the_end = self._moved_to_the_end(connection, attempt, moved)
            if self.over:  # perhaps the part file was closed under it
                return
            if to_the_end:
                if attempt.claims.complete:
                    self.group.completed(self, attempt)
                return
            self.begin_anew(attempt, moved, "its source became shorter while it was copied")

    def _begun(self, connection: Connection) -> Attempt | None:
        with self._beginning:
            if self.over:
                return None
            if self._attempt is None:
                attempt = self.begin(connection)
                self.group.meter.had(attempt.claims.covered)
                self._attempt = attempt
            return self._attempt

    def _moved_to_the_end(self, connection: Connection, attempt: Attempt, moved: Moved) -> bool:
        owner = object()

        def count(size: int) -> None:
            with self._lock:
                attempt.moved += size
            moved(size)

        with self._lock:
            attempt.users += 1
        try:
            return attempt.claims.complete or self.move(connection, attempt, owner, count)
        except BaseException:
            self.suspect = True
            raise
        finally:
            attempt.claims.release(owner)
            with self._lock:
                attempt.users -= 1

    def begin_anew(self, attempt: Attempt, moved: Moved, why: str) -> None:
        """Forget what was copied: the source is another one now.

        Raises:
            SmProxyError: `source-changed`, it has happened before.
        """
        with self._beginning:
            if self._attempt is not attempt:
                return  # another connection saw it, too
            self.tries += 1
            if self.tries > TRIES:
                raise SmProxyError(
                    "source-changed",
                    f"{self.entry.source}: {why}, twice",
                    "Copy it when nothing writes to it any more, or copy a snapshot.",
                )
            attempt.close()
            self.rechecked = False
            self._attempt = None
        moved(-attempt.moved)
        self.group.meter.had(attempt.moved - attempt.claims.covered)

    def end(self) -> bool:
        """It is at its target, or given up: release the part file; False if it was over before."""
        with self._lock:
            was_over, self.over = self.over, True
        if self._attempt is not None:
            self._attempt.close()
        return not was_over

    def done(self, attempt: Attempt, *, verified: bool) -> None:
        """It is at its target."""
        self.end()
        self.group.finished(attempt.size, verified=verified)


@dataclass(frozen=True)
class Share:
    """A connection's share of a file."""

    transfer: Transfer
    size: int

    @property
    def path(self) -> str:
        """Its source."""
        return self.transfer.entry.source

    @property
    def over(self) -> bool:
        """Whether the file is."""
        return self.transfer.over

    @property
    def group(self) -> Group:
        """The files that are copied together."""
        return self.transfer.group

    def run(self, connection: Connection, moved: Moved) -> None:
        """Copy pieces until none is left."""
        with _about_one_file(self.transfer, connection):
            self.transfer.share(connection, moved)


@dataclass(frozen=True)
class Finish(Share):
    """The end of a file: all pieces are there."""

    def run(self, connection: Connection, moved: Moved) -> None:
        """Verify the file and give it its name, or begin it anew."""
        transfer, attempt = self.transfer, self.transfer.attempt
        if attempt is None or not attempt.claims.complete:
            return  # it has begun anew meanwhile
        if transfer.over or not transfer.finishing.acquire(blocking=False):
            return
        verdict: Verdict = "done"
        try:
            with _about_one_file(transfer, connection):
                verdict = transfer.finish(connection, attempt)
                if verdict == "wait":
                    self.group.wait_for_digest(transfer, attempt)
                elif verdict == "anew":
                    transfer.begin_anew(attempt, moved, "it changed while it was copied")
        finally:
            transfer.finishing.release()
        if verdict == "anew":
            super().run(connection, moved)


@contextlib.contextmanager
def _about_one_file(transfer: Transfer, connection: Connection) -> Iterator[None]:
    """A failure ends the file, unless the connection is lost: then another one goes on.

    Of a file that is over, no failure counts: it is at its target, or another share has failed.
    """
    try:
        yield
    except SmProxyError:
        if transfer.end():
            raise
    except Exception as error:
        if lost_connection(connection, error) is not None:
            raise
        expected = isinstance(error, (OSError, EOFError))
        if transfer.end() and expected:
            raise copy_failed(transfer.entry.source, error) from None
        if not expected:
            raise


class Group:
    """The large files of a copy in one direction; thread-safe.

    Args:
        digests: computes those of the container's files.
        meter: told what was there already, and which files are complete.
        verify: whether to compare digests.
    """

    def __init__(self, digests: Digests, meter: Meter, *, verify: bool) -> None:
        self.digests = digests
        self.meter = meter
        self.verify = verify
        self.copied = Copied(verified=verify)
        self._lock = threading.Lock()
        self._transfers: list[Transfer] = []
        self._complete: deque[Transfer] = deque()
        self._completed: set[Attempt] = set()

    def works(self, transfers: Iterable[Transfer], most: int) -> list[Share]:
        """The shares of each file, for `most` connections at most."""
        self._transfers = list(transfers)
        return [
            Share(transfer, transfer.entry.size // count)
            for transfer in self._transfers
            for count in [min(most, max(1, transfer.entry.size // SHARE))]
            for _ in range(count)
        ]

    @property
    def over(self) -> bool:
        """Whether every file is."""
        return all(transfer.over for transfer in self._transfers)

    def ready(self) -> Work | None:
        """The end of a file whose bytes are all there, and whose digest is known."""
        with self._lock:
            for transfer in self._complete:
                if not self.verify or self.digests.ready(transfer.digest_of):
                    self._complete.remove(transfer)
                    return Finish(transfer, 0)
        return None

    def help(self) -> Work | None:
        """A share of a file whose other connections are slow, or were lost."""
        for transfer in self._transfers:
            attempt = transfer.attempt
            if not transfer.over and attempt is not None and attempt.claims.claimable:
                return Share(transfer, 0)
        return None

    def completed(self, transfer: Transfer, attempt: Attempt) -> None:
        """All bytes of a file are there, as far as is known."""
        with self._lock:
            if attempt in self._completed:
                return
            self._completed.add(attempt)
        self.wait_for_digest(transfer, attempt)

    def wait_for_digest(self, transfer: Transfer, attempt: Attempt) -> None:
        """Finish a file once its digest is known; asks for it first."""
        transfer.complete(attempt)
        with self._lock:
            self._complete.append(transfer)
        self.digests.begin()

    def finished(self, size: int, *, verified: bool) -> None:
        """A file is at its target."""
        with self._lock:
            self.copied.files += 1
            self.copied.bytes += size
            self.copied.verified = self.copied.verified and verified
        self.meter.finished()

    def close(self) -> None:
        """Leave what is not complete for the next run."""
        self.digests.close()
        for transfer in self._transfers:
            transfer.end()

    def digest(self, transfer: Transfer) -> str | None:
        """The digest in the container; None without a way to compute it, which is said.

        Raises:
            SmProxyError: `not-verified`, it could not be asked for.
        """
        if not self.verify:
            return None
        try:
            return self.digests.get(transfer.digest_of) or "unreadable"
        except SmProxyError as error:
            if error.code == "unsupported":
                self.copied.note(error.message)
                return None
            if error.code not in _UNREACHABLE:
                raise
            raise SmProxyError(
                "not-verified",
                f"{transfer.entry.source} is copied, but its checksum is unknown: {error.message}",
                "Run it again: it only verifies what is there.",
            ) from None
