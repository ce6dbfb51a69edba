"""List what is to be copied to a container."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.ssh import pipeline
from sm_proxy.transfer.ssh.one_by_one import Reachable
from sm_proxy.transfer.ssh.sftp_packets import Attributes
from sm_proxy.transfer.trees import names, unfinished
from sm_proxy.transfer.trees.far_side import FarSide
from sm_proxy.transfer.trees.tree import DEEPEST, LOOP, RECURSIVE, TOO_DEEP, Tree, TreeBuilder

_WINDOWS = sys.platform == "win32"


def list_up(
    connection: Reachable,
    sources: Sequence[str],
    target: str,
    *,
    recursive: bool = False,
    host: str = "",
) -> Tree:
    """List what is to be copied to a container. Links are followed, as scp does.

    Args:
        connection: which is idle.
        sources: paths on this machine. Of `.`, `..` and `/` the contents are copied into the
            target.
        target: in the container, with `~` as scp has it. A link that it names is followed.
        recursive: whether folders are copied.
        host: the container, to know the folders of its unfinished copies.

    Raises:
        SmProxyError: `copy-failed`: the target must be a folder.
        EOFError, OSError, SSHException: the connection is lost.
    """
    runner = pipeline.runner(connection)
    far = FarSide(runner)
    target = far.expand(target)
    there, is_link = far.look(target)
    into = isinstance(there, Attributes) and there.type == stat.S_IFDIR
    paths = [path for source in sources for path in _matches(source)]
    if not into and len(paths) > 1:
        raise SmProxyError(
            "copy-failed",
            f"{target} is not a folder in the container",
            "Several files go into a folder: make it first.",
        )
    if is_link and not into:
        (real,) = far.real([target])
        target = target if isinstance(real, OSError) else real
    if isinstance(there, Attributes) and there.type not in {stat.S_IFDIR, stat.S_IFREG, 0}:
        # a rename would replace a device
        raise SmProxyError("copy-failed", f"{target} is not a regular file in the container")
    if into and recursive and len(paths) == 1:
        mark = unfinished.mark_of("up", host, paths[0])
        into = runner.run([unfinished.is_there(target, mark)]) != [True]
    builder = TreeBuilder()
    for path in paths:
        base = names.base(path, windows=_WINDOWS)
        to = names.join(target, base) if into and base else target
        _walk(_Found(path, to), builder, recursive=recursive)
    return builder.tree()


def _matches(source: str) -> list[str]:
    """The paths of a source: a shell has expanded it, but not that of Windows."""
    if not _WINDOWS or os.path.lexists(source):
        return [source]
    return sorted(glob.glob(source)) or [source]  # noqa: PTH207 - it has no folder


@dataclass(frozen=True)
class _Found:
    """A file or folder before it is looked at.

    Attributes:
        source: its path.
        target: where it goes.
        above: device and inode of the folders that it is in.
    """

    source: str
    target: str
    above: tuple[tuple[int, int], ...] = ()


def _walk(start: _Found, builder: TreeBuilder, *, recursive: bool) -> None:
    """Go through a folder and those in it, each before what is in it."""
    waiting = [start]
    while waiting:
        one = waiting.pop()
        try:
            seen = os.stat(one.source)  # noqa: PTH116 - many
            if not stat.S_ISDIR(seen.st_mode):
                _add_file(one, seen, builder)
            elif not recursive:
                builder.refuse(one.source, "it is a folder", RECURSIVE)
            elif (seen.st_dev, seen.st_ino) in one.above:
                builder.refuse(one.source, LOOP)
            elif len(one.above) > DEEPEST:
                builder.refuse(one.source, TOO_DEEP)
            else:
                inside = list(_entries(one, seen, builder))
                if builder.add(_entry("folder", one, seen)):
                    waiting += reversed(inside)
        except OSError as error:
            builder.refuse(one.source, error)


def _add_file(one: _Found, seen: os.stat_result, builder: TreeBuilder) -> None:
    if one.target.endswith("/"):
        builder.refuse(one.source, f"there is no folder {one.target} in the container")
    elif stat.S_ISREG(seen.st_mode):
        builder.add(_entry("file", one, seen))
    else:
        builder.refuse(one.source, "it is neither a file nor a folder")


def _entries(one: _Found, seen: os.stat_result, builder: TreeBuilder) -> Iterator[_Found]:
    above = (*one.above, (seen.st_dev, seen.st_ino))
    for name in sorted(os.listdir(one.source)):  # noqa: PTH208 - many
        if name == unfinished.NAME:
            continue
        path = os.path.join(one.source, name)  # noqa: PTH118
        try:
            name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # half a character, which Windows allows
            builder.refuse(path, "its name is not Unicode")
        else:
            yield _Found(path, names.join(one.target, name), above)


def _entry(kind: str, one: _Found, seen: os.stat_result) -> Entry:
    return Entry(
        "folder" if kind == "folder" else "file",
        one.source,
        one.target,
        0 if kind == "folder" else seen.st_size,
        stat.S_IMODE(seen.st_mode) & 0o777,
        int(seen.st_mtime),
        int(seen.st_atime),
    )
