"""The data types of a copy: places, entries, and outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sm_proxy.errors import SmProxyError

Direction: TypeAlias = Literal["down", "up"]
"""`down`: from a container to this machine."""
EntryKind: TypeAlias = Literal["file", "folder"]
SMALL: Final = 256 << 10
"""Files of more bytes are copied in ranges, over several sessions; the others in batches."""
Via: TypeAlias = Literal["ssh", "s3", "auto"]


@dataclass(frozen=True)
class Place:
    """One word of the command line, in scp's grammar.

    Attributes:
        path: as typed; for a container, empty means the user's home folder.
        host: the host name without user and `.*`; empty for a local path.
        user: to log in as; None for the container's own.
        every_node: whether it was written as `HOST.*`.
    """

    path: str
    host: str = ""
    user: str | None = None
    every_node: bool = False


@dataclass(frozen=True)
class Entry:
    """One file or folder to copy. Links are followed, as scp does.

    Attributes:
        kind: of what is copied.
        source: its path, on its own side.
        target: its path on the other side, complete.
        size: in bytes; 0 for a folder.
        mode: its permission bits.
        modified: its time of modification, in Unix seconds.
        accessed: its time of access, in Unix seconds.
    """

    kind: EntryKind
    source: str
    target: str
    size: int
    mode: int
    modified: int
    accessed: int


@dataclass(frozen=True)
class Problem:
    """A file or folder that could not be copied, while the rest continues.

    Attributes:
        path: on its own side.
        error: why.
    """

    path: str
    error: SmProxyError


@dataclass(frozen=True)
class Outcome:
    """The outcome of a copy.

    Attributes:
        files: how many are at their targets, complete.
        bytes: the sum of their sizes.
        seconds: for all of it.
        sessions: the most that were open at once; 0 if nothing went over ssh.
        via: how the bytes came.
        verified: whether the SHA-256 of every file agrees with its source's.
        problems: what could not be copied.
    """

    files: int
    bytes: int
    seconds: float
    sessions: int
    via: Literal["ssh", "s3", "both"]
    verified: bool
    problems: tuple[Problem, ...] = ()
