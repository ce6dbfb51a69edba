"""Paths inside another root: its symlinks lead to its own files, never to this machine's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_MOST_LINKS: Final = 40


def inside(root: Path, name: str, *, follow_last: bool = True) -> Path:
    """Return where a path of the tree below `root` is on this machine.

    Args:
        root: the tree.
        name: an absolute path in it; a relative one begins at its root.
        follow_last: follow a symlink at the end, too.

    Raises:
        OSError: the symlinks are a circle.
    """
    parts = [part for part in reversed(name.split("/")) if part]
    found: list[str] = []
    links = 0
    while parts:
        part = parts.pop()
        if part == ".":
            continue
        if part == "..":
            del found[-1:]
            continue
        here = root.joinpath(*found, part)
        if here.is_symlink() and (parts or follow_last):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(f"{name}: too many levels of symbolic links")
            target = os.readlink(here)  # noqa: PTH115 - its text, not a path to open
            if target.startswith("/"):
                found = []
            parts += [each for each in reversed(target.split("/")) if each]
            continue
        found.append(part)
    return root.joinpath(*found)
