"""What a copy will make: every file and folder, with its source and its target."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.model import Entry, Problem
from sm_proxy.transfer.trees import names

DEEPEST: Final = 200
"""No folder that is deeper is copied: a hostile server's tree has no end."""
LOOP: Final = "a link leads back to a folder that it is in"
TOO_DEEP: Final = f"it is more than {DEEPEST} folders deep"
RECURSIVE: Final = "Use -r to copy folders."


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


@dataclass
class TreeBuilder:
    """Collects a tree, and refuses a second entry for a target.

    Args:
        ignores_case: whether targets that differ in case only are the same; asked when it matters.
    """

    ignores_case: Callable[[], bool] = lambda: False
    folders: list[Entry] = field(default_factory=list)
    files: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _targets: set[str] = field(default_factory=set)
    _folded: dict[str, str] = field(default_factory=dict)
    _case: bool | None = None

    def add(self, entry: Entry) -> bool:
        """Take an entry, or note why not; whether it was taken."""
        if entry.target in self._targets:
            self.refuse(entry.source, f"another source is copied to {entry.target}, too")
            return False
        other = self._folded.setdefault(names.folded(entry.target), entry.target)
        if other != entry.target and self._is_one_file():
            self.refuse(entry.source, f"on this disk it would replace {other}")
            return False
        self._targets.add(entry.target)
        (self.folders if entry.kind == "folder" else self.files).append(entry)
        return True

    def _is_one_file(self) -> bool:
        if self._case is None:
            self._case = self.ignores_case()
        return self._case

    def refuse(self, path: str, why: str | OSError, hint: str = "") -> None:
        """Note what cannot be copied."""
        self.problems.append(problem(path, why, hint))

    def tree(self) -> Tree:
        """What was collected."""
        return Tree(tuple(self.folders), tuple(self.files), tuple(self.problems))


def problem(path: str, why: str | OSError, hint: str = "") -> Problem:
    """Why one file or folder is not copied."""
    if isinstance(why, OSError):
        why = (os.strerror(why.errno) if why.errno else str(why)) or "Input/output error"
    return Problem(path, SmProxyError("copy-failed", f"{path}: {why}", hint))
