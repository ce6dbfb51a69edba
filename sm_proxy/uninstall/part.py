"""One thing that `uninstall` takes away."""

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
        remove: takes it away. It raises a SmProxyError if that fails, and does nothing if somebody
            else has taken it away since.
    """

    what: str
    path: Path | None
    remove: Callable[[], object]
