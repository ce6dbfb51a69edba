"""List what is to be copied from a container."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.ssh import pipeline
from sm_proxy.transfer.ssh.one_by_one import Reachable
from sm_proxy.transfer.ssh.sftp_packets import Attributes
from sm_proxy.transfer.trees import names, unfinished
from sm_proxy.transfer.trees.far_side import FarSide
from sm_proxy.transfer.trees.tree import DEEPEST, LOOP, RECURSIVE, TOO_DEEP, Tree, TreeBuilder


def list_down(
    connection: Reachable,
    sources: Sequence[str],
    target: str,
    *,
    recursive: bool = False,
    host: str = "",
) -> Tree:
    """List what is to be copied from a container. Links are followed, as scp does.

    All folders of one depth are listed together: 1,000 folders take seconds on a slow link.

    Args:
        connection: which is idle.
        sources: paths in the container, with `~` and globs as scp has them. Of `.`, `..` and `/`
            the contents are copied into the target.
        target: on this machine. A link that it names is followed; see `Folders` for others.
        recursive: whether folders are copied.
        host: the container, to know the folders of its unfinished copies.

    Raises:
        SmProxyError: `copy-failed`: the target must be a folder, or there are too many files.
        EOFError, OSError, SSHException: the connection is lost.
    """
    far = FarSide(pipeline.runner(connection))
    if os.path.islink(target):  # noqa: PTH114 - of "out/", the folder
        target = os.path.realpath(target)
    patterns = [far.expand(source) for source in sources]
    matches = [far.glob(pattern) for pattern in patterns]
    builder = TreeBuilder(lambda: names.ignores_case(Path(target)))
    found = [path for some in matches for path in some]
    into = _is_folder(target, several_words=len(sources) > 1, several=len(found) > 1)

    def is_unfinished(source: str) -> bool:
        mark = unfinished.mark_of("down", host, source)
        return len(sources) == 1 and unfinished.is_here(target, mark)

    if into and recursive and len(found) == 1 and is_unfinished(found[0]):
        into = False
    folder = os.path.dirname(found[0])  # noqa: PTH120
    if into and (not Path(target).is_dir() or (len(found) > 1 and is_unfinished(folder))):
        now = int(time.time())
        builder.add(Entry("folder", folder, target, 0, 0o755, now, now))
    starts = []
    for path, seen in zip(found, far.stats(found), strict=True):
        base = names.base(path)
        if refusal := base and names.refusal(base):
            builder.refuse(path, refusal)
            continue
        to = os.path.join(target, base) if into and base else target  # noqa: PTH118 - "./a" stays
        starts.append(_Found(path, to, seen))
    _walk(far, starts, builder, recursive=recursive)
    return builder.tree()


def _is_folder(target: str, *, several_words: bool, several: bool) -> bool:
    """Whether the sources go into the target, by scp's rules.

    Several sources need a folder that exists; if one glob has several matches, it is made.
    """
    if Path(target).is_dir():
        return True
    if several_words or (several and os.path.lexists(target)):
        raise SmProxyError(
            "copy-failed",
            f"{target} is not a folder",
            "Several files go into a folder: make it first.",
        )
    return several


@dataclass(frozen=True)
class _Found:
    """A file or folder before it is looked at.

    Attributes:
        source: its path.
        target: where it goes.
        seen: its attributes.
        above: the real paths of the folders that it is in.
        real: its own real path, if it is known without asking.
    """

    source: str
    target: str
    seen: Attributes | OSError
    above: tuple[str, ...] = ()
    real: str = ""


def _walk(far: FarSide, found: list[_Found], builder: TreeBuilder, *, recursive: bool) -> None:
    """Go through all folders, one depth after the other."""
    while found:
        folders = [one for one in found if _taken(one, builder, recursive=recursive)]
        unknown = [one for one in folders if not one.real]
        real_paths = dict(
            zip(
                (one.source for one in unknown),
                far.real(one.source for one in unknown),
                strict=True,
            )
        )
        inside: list[_Found] = []
        listed = far.folders(one.source for one in folders)
        for folder, entries in zip(folders, listed, strict=True):
            real = folder.real or real_paths[folder.source]
            if isinstance(real, OSError):
                builder.refuse(folder.source, real)
            elif isinstance(entries, OSError):
                builder.refuse(folder.source, entries)
            elif real in folder.above:
                builder.refuse(folder.source, LOOP)
            elif len(folder.above) > DEEPEST:
                builder.refuse(folder.source, TOO_DEEP)
            else:
                inside += _entries(folder, real, entries, builder)
        found = _followed(far, inside)


def _taken(one: _Found, builder: TreeBuilder, *, recursive: bool) -> bool:
    """Take a file, or a folder; whether it is a folder to list."""
    seen = one.seen
    if isinstance(seen, OSError):
        builder.refuse(one.source, seen)
        return False
    folder = seen.type == stat.S_IFDIR
    if folder and not recursive:
        builder.refuse(one.source, "it is a folder", RECURSIVE)
        return False
    if not folder and seen.type != stat.S_IFREG:
        builder.refuse(one.source, "it is neither a file nor a folder")
        return False
    if not folder and (why := _in_the_way(one.target)):
        builder.refuse(one.source, why)
        return False
    modified = seen.modified or 0
    entry = Entry(
        "folder" if folder else "file",
        one.source,
        one.target,
        0 if folder else seen.size or 0,
        stat.S_IMODE(seen.mode or 0) & 0o777,
        modified,
        seen.accessed or modified,
    )
    return builder.add(entry) and folder


def _in_the_way(target: str) -> str:
    """Why no file can get this name; empty if one can: a file, or a link in a folder, is replaced.

    A rename would replace a device as well: as root, a copy to `/dev/null` would be its end.
    """
    try:
        seen = os.stat(target)  # noqa: PTH116 - many
    except OSError:
        return f"there is no folder {target}" if target.endswith(os.sep) else ""
    if stat.S_ISDIR(seen.st_mode):
        return f"{target} is a folder"
    if stat.S_ISREG(seen.st_mode) or os.path.islink(target):  # noqa: PTH114 - many
        return ""
    return f"{target} is neither a file nor a folder"


def _entries(
    folder: _Found, real: str, entries: list[tuple[str, Attributes]], builder: TreeBuilder
) -> list[_Found]:
    above = (*folder.above, real)
    inside = []
    for name, seen in entries:
        if name == unfinished.NAME:
            continue
        if refusal := names.refusal(name):
            builder.refuse(names.join(folder.source, name), refusal)
            continue
        plain = seen.type in {stat.S_IFDIR, stat.S_IFREG}
        inside.append(
            _Found(
                names.join(folder.source, name),
                os.path.join(folder.target, name),  # noqa: PTH118 - many
                seen,
                above,
                names.join(real, name) if plain else "",
            )
        )
    return inside


def _followed(far: FarSide, found: list[_Found]) -> list[_Found]:
    """The same with the attributes of what links lead to."""
    links = [one for one in found if not one.real]
    seen = iter(far.stats(one.source for one in links))
    return [
        one if one.real else _Found(one.source, one.target, next(seen), one.above) for one in found
    ]
