"""What is asked of a copy, and how its words become one task for each container."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import nodes
from sm_proxy.settings import Settings
from sm_proxy.transfer import places
from sm_proxy.transfer.model import Direction, Via
from sm_proxy.transfer.places import Ends
from sm_proxy.transfer.ssh.connections import MOST

MOST_SESSIONS: Final = 64
"""More sessions do not help: the agent sends their bytes with one processor."""


@dataclass(frozen=True)
class Options:
    """How to copy.

    Attributes:
        recursive: whether folders are copied.
        sessions: how many at most, for all nodes together; None for as many as are useful.
        via: `ssh`, `s3`, or `auto` for what is faster.
        bucket: `BUCKET` or `BUCKET/PREFIX` in which `s3` hands files over.
        compress: whether ssh compresses; None to decide by a sample.
        verify: whether checksums are compared.

    Raises:
        SmProxyError: `usage`, a value is none of these.
    """

    recursive: bool = False
    sessions: int | None = None
    via: Via = "auto"
    bucket: str | None = None
    compress: bool | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        """Refuse what the command line cannot say: these may come from a program."""
        if self.sessions is not None and not 1 <= self.sessions <= MOST_SESSIONS:
            words = f"sessions must be from 1 to {MOST_SESSIONS}, not {self.sessions}"
            raise SmProxyError("usage", words)
        if self.via not in get_args(Via):
            raise SmProxyError("usage", f"via must be one of {', '.join(get_args(Via))}")


@dataclass(frozen=True)
class Task:
    """A copy between this machine and one container.

    Attributes:
        host: the container's host name.
        user: to log in as; None for the container's own.
        direction: of the copy.
        sources: paths on their side.
        target: a path on the other side.
        options: how.
        most: sessions at most; None for as many as are useful.
    """

    host: str
    user: str | None
    direction: Direction
    sources: tuple[str, ...]
    target: str
    options: Options
    most: int | None


def tasks(
    ends: Ends,
    settings: Settings,
    aws: Aws,
    options: Options,
    on_status: Callable[[str], None] = lambda _: None,
) -> tuple[Task, ...]:
    """One task for each container that the words mean.

    The sessions are shared out over the nodes. On the way down of `HOST.*`, each node has a folder
    of its own in the target, which is made here.

    Raises:
        SmProxyError: `job-ended` and so on, as `jobs.nodes.find`; `copy-failed`, a folder cannot be
            made.
    """
    hosts = _hosts(ends, settings, aws, on_status)
    many = ends.remote.every_node
    at_once = min(len(hosts), options.sessions or MOST)
    found = []
    for host in hosts:
        target = ends.target.path
        if many and ends.direction == "down":
            target = places.folder_of_node(target, host)
            _make(target)
        most = max(1, (options.sessions or MOST) // at_once) if many else options.sessions
        paths = tuple(place.path for place in ends.sources)
        user = ends.remote.user
        found.append(Task(host, user, ends.direction, paths, target, options, most))
    return tuple(found)


def words(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """The words of paths from Python: a Path is local, whatever its name looks like."""
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    return tuple(each if isinstance(each, str) else _local(os.fspath(each)) for each in listed)


def _local(path: str) -> str:
    return path if Path(path).is_absolute() else f"./{path}"


def _hosts(
    ends: Ends, settings: Settings, aws: Aws, on_status: Callable[[str], None]
) -> tuple[str, ...]:
    if not ends.remote.every_node:
        return (ends.remote.host,)
    target = nodes.parse(f"{ends.remote.host}{places.EVERY_NODE}", settings.prefix)
    return nodes.find(target, settings, aws, on_status).hosts


def _make(folder: str) -> None:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SmProxyError(
            "copy-failed",
            f"the folder {folder} cannot be made: {error.strerror or error}",
            "Name another target.",
        ) from None
