"""Make the folders of a copy, and give them their modes and times at the end."""

from __future__ import annotations

from collections.abc import Iterable

from sm_proxy.transfer.connection import SftpLike
from sm_proxy.transfer.model import Direction
from sm_proxy.transfer.tree import Tree


class Folders:
    """The folders of a copy. Existing ones are kept as they are.

    Args:
        trees: what will be copied.
        direction: `down` makes them on this machine.
    """

    def __init__(self, trees: Iterable[Tree], direction: Direction) -> None:
        self._trees, self._direction = trees, direction

    def make(self, sftp: SftpLike) -> Tree:
        """Make them; return what can be copied now, with the new problems.

        Raises:
            EOFError, OSError, SSHException: the connection is lost.
        """
        raise NotImplementedError

    def finish(self, sftp: SftpLike) -> None:
        """Set modes and times of those that `make` made, the deepest first; errors do not count.

        Raises:
            EOFError, OSError, SSHException: the connection is lost.
        """
        raise NotImplementedError
