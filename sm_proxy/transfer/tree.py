"""What a copy will make: every file and folder, with its source and its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sm_proxy.transfer.connection import SftpLike
from sm_proxy.transfer.model import Entry, Problem


@dataclass(frozen=True)
class Tree:
    """What will be copied, and what cannot be.

    Attributes:
        folders: to make, each before what is in it.
        files: no two of them have the same target.
        problems: what cannot be copied; the rest can.
    """

    folders: tuple[Entry, ...]
    files: tuple[Entry, ...]
    problems: tuple[Problem, ...]


def list_down(
    sftp: SftpLike, sources: Sequence[str], target: str, *, recursive: bool = False
) -> Tree:
    """List what is to be copied from a container. Links are followed.

    Args:
        sftp: of an idle connection.
        sources: paths in the container, with `~` and globs as scp has them.
        target: on this machine.
        recursive: whether folders are copied.

    Raises:
        SmProxyError: `copy-failed`: nothing can be copied, as the target must be a folder.
        EOFError, OSError, SSHException: the connection is lost.
    """
    raise NotImplementedError


def list_up(
    sftp: SftpLike, sources: Sequence[str], target: str, *, recursive: bool = False
) -> Tree:
    """List what is to be copied to a container; as `list_down`.

    Args:
        sftp: of an idle connection.
        sources: paths on this machine.
        target: in the container, with `~` as scp has it.
        recursive: whether folders are copied.
    """
    raise NotImplementedError
