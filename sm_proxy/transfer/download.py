"""Large files from the container: in ranges, over all connections, into a part file beside each."""

from __future__ import annotations

from collections.abc import Iterable

from sm_proxy.transfer.connections import Connections
from sm_proxy.transfer.engine import SharedWork
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.progress import Meter


class Copied:
    """What came of the large files. Filled in while the engine runs; read it afterwards.

    Attributes:
        files: how many are at their targets.
        bytes: the sum of their sizes.
        verified: whether the SHA-256 of each agrees with its source's.
        notes: lines for the user, such as that a file grew while it was copied.
    """

    files: int = 0
    bytes: int = 0
    verified: bool = True
    notes: list[str]


def works_for(
    entries: Iterable[Entry], connections: Connections, meter: Meter, *, verify: bool = True
) -> tuple[list[SharedWork], Copied]:
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
    raise NotImplementedError
