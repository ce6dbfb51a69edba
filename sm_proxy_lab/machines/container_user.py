"""Makes a container's first process run as the USER of its image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def become(user: str, environment: dict[str, str]) -> None:
    """Change the ids of this process, and HOME, as a container engine does.

    Called inside the container's root file system: names are looked up there. We read the files
    ourselves, because the C library would load modules of the image.

    Args:
        user: `name` or `uid`, optionally with `:group` or `:gid`; empty for root.
        environment: of the container; HOME becomes the user's home folder, or `/` if it has none.

    Raises:
        OSError: the image has no such user or group.
    """
    if not user:
        return
    name, _, group = user.partition(":")
    entry = next((entry for entry in _entries("passwd") if name in {entry[0], entry[2]}), None)
    if entry is None and not name.isdigit():
        raise OSError(f"unable to find user {name}: no matching entries in passwd file")
    uid = int(name if entry is None else entry[2])
    gid = int(entry[3]) if entry is not None else 0
    groups = [int(row[2]) for row in _entries("group") if entry and entry[0] in row[3].split(",")]
    if group:
        gid = _gid_of(group)
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)
    environment["HOME"] = entry[5] if entry is not None else "/"


def _gid_of(group: str) -> int:
    for row in _entries("group"):
        if group in {row[0], row[2]}:
            return int(row[2])
    if not group.isdigit():
        raise OSError(f"unable to find group {group}: no matching entries in group file")
    return int(group)


def _entries(database: str) -> Iterator[list[str]]:
    with Path("/etc", database).open(encoding="utf-8", errors="replace") as file:
        for line in file:
            yield line.rstrip("\n").split(":")
