"""Small files, in batches that the connections share.

small = SmallFiles(entries, direction)
works = small.works()
while works:
    engine.run(works)
    works = small.settle(connections)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sm_proxy.transfer.connections import Connections
from sm_proxy.transfer.engine import Work
from sm_proxy.transfer.model import Direction, Entry, Problem


@dataclass(frozen=True)
class Settled:
    """What has come of the small files.

    Attributes:
        files: those at their targets, complete.
        unverified: how many of them nobody could verify, as the container has no tool for it.
        problems: of the others.
    """

    files: tuple[Entry, ...]
    unverified: int
    problems: tuple[Problem, ...]


class SmallFiles:
    """Files of at most `SMALL` bytes.

    Each is written under a temporary name, verified together with all others, and renamed. A file
    that changed meanwhile is sent again, a few times.

    Args:
        files: their targets' folders exist.
        direction: `down` for files of the container.
    """

    def __init__(self, files: Sequence[Entry], direction: Direction) -> None:
        self._files, self._direction = files, direction

    def works(self) -> Sequence[Work]:
        """The batches to send first."""
        raise NotImplementedError

    def settle(self, connections: Connections) -> Sequence[Work]:
        """Verify what was sent; return what is to be done next, empty at the end.

        Raises:
            SmProxyError: the container cannot be asked.
        """
        raise NotImplementedError

    def result(self) -> Settled:
        """What has come of them; after the last `settle`."""
        raise NotImplementedError
