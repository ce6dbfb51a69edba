"""Large files from the container: in ranges, over all connections, into a part file beside each."""

from __future__ import annotations

import errno
import stat
from collections.abc import Sequence
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.checksums import Digests
from sm_proxy.transfer.large import ranged
from sm_proxy.transfer.large.large_files import (
    Attempt,
    Copied,
    Group,
    Moved,
    Share,
    Transfer,
    Verdict,
)
from sm_proxy.transfer.large.map_file import Source
from sm_proxy.transfer.large.part_file import PartFile
from sm_proxy.transfer.large.prefix_digest import PrefixDigest
from sm_proxy.transfer.large.ranges import Claims
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.progress import Meter
from sm_proxy.transfer.ssh.connection import Connection
from sm_proxy.transfer.ssh.connections import Connections

_EARLY: Final = 1 << 30
"""The digests of files of so many bytes are computed at once, the others when their turn comes: the
container has other work to do."""


def works_for(
    entries: Sequence[Entry], connections: Connections, meter: Meter, *, verify: bool = True
) -> tuple[list[Share], Copied]:
    """Works for `Engine.run`: each file's are as many as connections may help with it.

    A file is complete when its works are: it is then verified, has its mode and times, and its
    name. Nothing is left to call but `Copied` to read.

    Args:
        entries: files of more than `SMALL` bytes (any size works), source in the container.
        connections: after `first`; also runs the checksum scripts.
        meter: told what was there already (`had`) and which files are finished; the bytes that move
            are told through the engine's `on_moved`.
        verify: whether to compare SHA-256; without, sizes only, and `verified` is False.
    """
    group = Group(Digests(connections), meter, verify=verify)
    place = where(connections)
    downloads = [_Download(entry, group, place) for entry in entries]
    early = 0
    for one in downloads:
        if early < _EARLY:
            one.ask_for_digest(one.entry.size)
            early += one.entry.size
    return group.works(downloads, connections.most), group.copied


def where(connections: Connections) -> str:
    """The container, so that a part of another one's file is not used."""
    found = connections.container
    return f"{found.host} {found.kind} {found.job} {found.node} {found.address}"


class _DownAttempt(Attempt):
    def __init__(self, part: PartFile) -> None:
        super().__init__(part.source.size, Claims(part.ranges))
        self.part = part
        self.digest = PrefixDigest(part.read)

    def keep(self, owner: object, start: int, data: bytes, moved: Moved) -> bool:
        """Write what has arrived; False if this attempt is over."""
        if self.claims.has(start, start + len(data)):
            # Another connection was quicker, and its bytes may be verified: the source may be
            # another one now.
            self.claims.done(owner, start, start + len(data))
            return True
        if not self.part.write(start, data):
            return False
        moved(self.claims.done(owner, start, start + len(data)))
        self.digest.follow(self.claims.prefix)
        self.part.maybe_sync(self.claims.snapshot)
        return True

    def close(self) -> None:
        self.part.close()


class _Download(Transfer):
    def __init__(self, entry: Entry, group: Group, place: str) -> None:
        super().__init__(entry, group)
        self._place = place
        self._expected = entry.size
        self._asked = False

    @property
    def digest_of(self) -> str:
        return self.entry.source

    def begin(self, connection: Connection) -> Attempt:
        source = self._look(connection)
        if source.size != self._expected:  # it has changed since it was listed
            self.group.meter.expect(0, source.size - self._expected)
            self._expected = source.size
            self.ask_for_digest(source.size)
        elif self.tries > 1 or not self._asked:
            self.ask_for_digest(source.size)
        return _DownAttempt(PartFile(self.entry.target, source, anew=self.tries > 1))

    def move(self, connection: Connection, attempt: Attempt, owner: object, moved: Moved) -> bool:
        assert isinstance(attempt, _DownAttempt)  # noqa: S101 - `begin` made it
        if self.suspect:  # a pipe by now? The server would wait for a writer, and answer nothing.
            self._look(connection)
        file = ranged.open_to_read(connection, self.entry.source)
        ending = file.fetch(
            lambda in_flight: attempt.next_piece(owner, in_flight),
            lambda start, data: attempt.keep(owner, start, data, moved),
        )
        file.close()
        return ending != "ended"

    def complete(self, attempt: Attempt) -> None:
        pass

    def finish(self, connection: Connection, attempt: Attempt) -> Verdict:
        assert isinstance(attempt, _DownAttempt)  # noqa: S101 - `begin` made it
        part, theirs = attempt.part, self.group.digest(self)
        same = theirs is not None and theirs == attempt.digest.of(part.source.size)
        try:
            now = self._look(connection)
        except FileNotFoundError:
            if not same:
                raise
            now = part.source  # it is gone, but all of it is here
        grew = now.size > part.source.size
        same = same or (theirs is None and now == part.source)
        if not same and not (theirs is None and grew):
            return self._differs(now, part.source, asked=theirs is not None)
        part.finish(self.entry.mode, self.entry.accessed, part.source.modified)
        if grew:
            self.group.copied.note(
                f"{self.entry.source} grew while it was copied: the first {part.source.size} bytes "
                "are copied"
            )
        self.done(attempt, verified=theirs is not None)
        return "done"

    def _differs(self, now: Source, then: Source, *, asked: bool) -> Verdict:
        if asked and not self.rechecked:  # the digest may be older than the bytes
            self.rechecked = True
            self.ask_for_digest(then.size)
            return "wait"
        if now == then and self.tries > 1:
            raise SmProxyError(
                "not-verified",
                f"{self.entry.source}: the SHA-256 of its copy differs from the container's, twice",
                "Does something write to it? Copy it again.",
            )
        return "anew"

    def ask_for_digest(self, size: int) -> None:
        """Ask for the digest of its first `size` bytes, as they are now."""
        self._asked = True
        if self.group.verify:
            self.group.digests.expect(self.entry.source, size)

    def _look(self, connection: Connection) -> Source:
        found = connection.sftp.stat(self.entry.source)
        if not stat.S_ISREG(found.st_mode or stat.S_IFREG):
            raise OSError(errno.EINVAL, "it is not a regular file any more")
        return Source(
            self.entry.source, found.st_size or 0, int(found.st_mtime or 0), f"down {self._place}"
        )
