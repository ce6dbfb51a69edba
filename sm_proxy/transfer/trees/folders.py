"""Make the folders of a copy, and give them their modes and times at the end."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

from paramiko import sftp

from sm_proxy.transfer.model import Direction, Entry
from sm_proxy.transfer.ssh import pipeline
from sm_proxy.transfer.ssh.one_by_one import Reachable
from sm_proxy.transfer.ssh.pipeline import Task
from sm_proxy.transfer.ssh.sftp_packets import Attributes, Request
from sm_proxy.transfer.trees import unfinished
from sm_proxy.transfer.trees.tree import Tree, problem


class Folders:
    """The folders of a copy. Existing ones are kept with their modes and times.

    The outermost of those that are made have a mark until the copy is complete (see `unfinished`):
    where it is found, an earlier run of this copy has made those within.

    On this machine, a link to a folder is not followed, except for the one that the user names as
    the target: a server must not choose where outside of it a file goes.

    Args:
        tree: what will be copied.
        direction: `down` makes them on this machine.
        host: the container.
    """

    def __init__(self, tree: Tree, direction: Direction, host: str = "") -> None:
        self._tree, self._direction, self._host = tree, direction, host
        self._made: dict[str, Entry] = {}
        self._marked: dict[str, str] = {}

    def make(self, connection: Reachable) -> Tree:
        """Make them; return what can be copied now, with the new problems.

        Args:
            connection: which is idle.

        Raises:
            EOFError, OSError, SSHException: the connection is lost; it can be called again.
        """
        failed: set[str] = set()
        known = {_key(one) for one in self._tree.folders}
        problems = list(self._tree.problems)
        for level in _levels(self._tree.folders):
            able = [one for one in level if _above(one) not in failed]
            failed |= {_key(one) for one in level} - {_key(one) for one in able}
            for entry, error in zip(able, self._make_some(connection, able), strict=True):
                if error is not None:
                    failed.add(_key(entry))
                    problems.append(problem(entry.source, error, "Nothing in it is copied."))
            there = [one for one in able if _key(one) not in failed]
            self._mark(connection, [one for one in there if _above(one) not in known])
            for entry in there:
                if self._is_marked(entry):
                    self._made.setdefault(entry.target, entry)
        return Tree(
            tuple(one for one in self._tree.folders if _key(one) not in failed),
            tuple(one for one in self._tree.files if _above(one) not in failed),
            tuple(problems),
        )

    def _make_some(self, connection: Reachable, entries: Sequence[Entry]) -> list[OSError | None]:
        if self._direction == "down":
            return [self._make_here(entry) for entry in entries]
        made = pipeline.runner(connection).run(self._make_there(entry) for entry in entries)
        return [one if isinstance(one, OSError) else None for one in made]

    def _make_here(self, entry: Entry) -> OSError | None:
        path = entry.target.rstrip(os.sep) or os.sep  # of "out/", the link
        try:
            try:
                seen = os.lstat(path)
            except FileNotFoundError:
                os.mkdir(path, 0o700)  # noqa: PTH102 - many
                self._made[entry.target] = entry
                return None
        except OSError as error:
            return error
        if stat.S_ISDIR(seen.st_mode):
            return None
        if stat.S_ISLNK(seen.st_mode):
            return OSError(f"{entry.target} is a link; name it as the target to copy through it")
        return OSError(f"{entry.target} exists and is not a folder")

    def _make_there(self, entry: Entry) -> Task[None]:
        made, seen = yield [
            Request(sftp.CMD_MKDIR, entry.target, attributes=Attributes(mode=0o700)),
            Request(sftp.CMD_STAT, entry.target),
        ]
        if made is None:
            self._made[entry.target] = entry
        elif not isinstance(seen, Attributes):
            pipeline.done(made)
        elif seen.type != stat.S_IFDIR:
            raise OSError(f"{entry.target} exists and is not a folder")

    def _mark(self, connection: Reachable, entries: Sequence[Entry]) -> None:
        """Mark those that were made now, and find those that have the mark."""
        new = [one for one in entries if one.target in self._made]
        old = [one for one in entries if one.target not in self._made]
        found: Sequence[object]
        if self._direction == "down":
            for one in new:
                unfinished.begin_here(one.target, self._mark_of(one))
            found = [unfinished.is_here(one.target, self._mark_of(one)) for one in old]
        else:
            runner = pipeline.runner(connection)
            runner.run(unfinished.begin_there(one.target, self._mark_of(one)) for one in new)
            found = runner.run(unfinished.is_there(one.target, self._mark_of(one)) for one in old)
        unfinished_ones = (one for one, is_ours in zip(old, found, strict=True) if is_ours is True)
        self._marked |= {_key(one): one.target for one in (*new, *unfinished_ones)}

    def _mark_of(self, entry: Entry) -> bytes:
        return unfinished.mark_of(self._direction, self._host, entry.source)

    def _is_marked(self, entry: Entry) -> bool:
        """Whether it is, or lies in, a folder with the mark."""
        parts = _key(entry).split("/")
        return any("/".join(parts[: count + 1]) in self._marked for count in range(len(parts)))

    def _unmark(self, connection: Reachable) -> None:
        if self._direction == "up":
            runner = pipeline.runner(connection)
            runner.run(unfinished.end_there(one) for one in self._marked.values())
            return
        for one in self._marked.values():
            unfinished.end_here(one)

    def finish(self, connection: Reachable, *, complete: bool = True) -> None:
        """Set modes and times of those that `make` made, the deepest first; errors do not count.

        Args:
            connection: which is idle.
            complete: whether all is copied, so that the same command has nothing to go on with.

        Raises:
            EOFError, OSError, SSHException: the connection is lost.
        """
        if complete:
            self._unmark(connection)
        if self._direction == "down":
            for path, entry in reversed(self._made.items()):
                with contextlib.suppress(OSError):
                    os.utime(path, (entry.accessed, entry.modified))
                    os.chmod(path, entry.mode)  # noqa: PTH101 - many
            return
        runner = pipeline.runner(connection)
        for level in reversed(list(_levels(tuple(self._made.values())))):
            runner.run(_set(entry) for entry in level)


def _set(entry: Entry) -> Task[None]:
    attributes = Attributes(mode=entry.mode, accessed=entry.accessed, modified=entry.modified)
    yield [Request(sftp.CMD_SETSTAT, entry.target, attributes=attributes)]


def _levels(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Entries of one depth after the other."""
    depths: dict[int, list[Entry]] = {}
    for entry in entries:
        depths.setdefault(_key(entry).count("/"), []).append(entry)
    for depth in sorted(depths):
        yield depths[depth]


def _key(entry: Entry) -> str:
    return entry.target.replace(os.sep, "/").rstrip("/")


def _above(entry: Entry) -> str:
    return _key(entry).rpartition("/")[0].rstrip("/")
