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
from sm_proxy.transfer.trees.tree import Tree, problem


class Folders:
    """The folders of a copy. Existing ones are kept with their modes and times.

    On this machine, a link to a folder is not followed, except for the one that the user names as
    the target: a server must not choose where outside of it a file goes.

    Args:
        tree: what will be copied.
        direction: `down` makes them on this machine.
    """

    def __init__(self, tree: Tree, direction: Direction) -> None:
        self._tree, self._direction = tree, direction
        self._made: dict[str, Entry] = {}

    def make(self, connection: Reachable) -> Tree:
        """Make them; return what can be copied now, with the new problems.

        Args:
            connection: which is idle.

        Raises:
            EOFError, OSError, SSHException: the connection is lost; it can be called again.
        """
        failed: set[str] = set()
        problems = list(self._tree.problems)
        for level in _levels(self._tree.folders):
            able = [one for one in level if _above(one) not in failed]
            failed |= {_key(one) for one in level} - {_key(one) for one in able}
            for entry, error in zip(able, self._make_some(connection, able), strict=True):
                if error is not None:
                    failed.add(_key(entry))
                    problems.append(problem(entry.source, error, "Nothing in it is copied"))
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
        path = entry.target.rstrip(os.sep) or os.sep
        try:
            try:
                seen = os.lstat(path)
            except FileNotFoundError:
                os.mkdir(path, 0o700)  # noqa: PTH102 - many
                self._made[path] = entry
                return None
        except OSError as error:
            return error
        if stat.S_ISDIR(seen.st_mode):
            return None
        if stat.S_ISLNK(seen.st_mode):
            return OSError(f"{entry.target} is a link; name it as the target to copy through it")
        return OSError(f"{entry.target} is there already, and no folder")

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
            raise OSError(f"{entry.target} is there already, and no folder")

    def finish(self, connection: Reachable) -> None:
        """Set modes and times of those that `make` made, the deepest first; errors do not count.

        Args:
            connection: which is idle.

        Raises:
            EOFError, OSError, SSHException: the connection is lost.
        """
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
