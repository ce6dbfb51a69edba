"""One thing that `uninstall` removes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """One thing that we have put on this machine.

    Attributes:
        what: it is, for people.
        path: of the file or folder; None if it is none.
        remove: removes it. It raises a SmProxyError if that fails, and does nothing if it has been
            removed since.
    """

    what: str
    path: Path | None
    remove: Callable[[], object]
