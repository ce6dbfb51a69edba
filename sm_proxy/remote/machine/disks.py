"""Block devices, their mount points, and the free space on them."""

from __future__ import annotations

import re
from typing import Any, Final

from sm_proxy.errors import printable
from sm_proxy.remote.machine.numbers import is_count

_PATH_LIMIT: Final = 200
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_MODEL: Final = re.compile(r"/sys/block/([^/]+)/device/model (.*)")
_SPACE: Final = re.compile(
    r"(?<=\S)\s+([0-9]{1,18})\s+([0-9]{1,18})\s+(-?[0-9]{1,18})\s+[0-9-]+%?\s+(/.*)"
)
_UNREAL: Final = frozenset({"loop", "ram", "zram"})
_KERNEL: Final = frozenset(
    {"proc", "sysfs", "devpts", "cgroup", "cgroup2", "mqueue", "securityfs", "debugfs", "tracefs"}
)


def mounts(lines: list[str]) -> list[tuple[str, str, str]]:
    """Source, mount point and type of each file system that stores files."""
    found = []
    for line in lines:
        words = [_plain(word) for word in line.split(" ")]
        if len(words) >= 3 and words[2] not in _KERNEL:
            found.append((words[0], words[1], words[2]))
    return found


def block_devices(found: dict[str, list[str]]) -> list[dict[str, Any]]:
    """`{"name", "bytes", "model", "mounted_on": [path]}`; loop and memory devices left out."""
    models = {
        match[1]: match[2] for line in found.get("disks", []) if (match := _MODEL.match(line))
    }
    mounted = mounts(found.get("mounts", []))
    rows = []
    for line in found.get("partitions", []):
        words = line.split()
        if len(words) != 4 or not is_count(words[2]) or _kind(words[3]) in _UNREAL:
            continue
        name = printable(words[3], 64)
        places = [path for source, path, _ in mounted if source.rpartition("/")[2] == name]
        model = models.get(words[3])
        rows.append(
            {
                "name": name,
                "bytes": int(words[2]) * 1024,
                "model": None if model is None else printable(model, 64),
                "mounted_on": places,
            }
        )
    return rows


def file_systems(found: dict[str, list[str]]) -> list[dict[str, Any]]:
    """`{"device", "mounted_on", "type", "bytes", "used_bytes", "available_bytes"}` by df."""
    kinds = {path: kind for _, path, kind in mounts(found.get("mounts", []))}
    rows = []
    for line in found.get("space", []):
        # A device's name may contain spaces, so the numbers are found first.
        match = _SPACE.search(line)
        if not match or not int(match[1]):
            continue
        path = printable(match[4], _PATH_LIMIT)
        rows.append(
            {
                "device": printable(line[: match.start()], _PATH_LIMIT),
                "mounted_on": path,
                "type": kinds.get(path),
                "bytes": int(match[1]) * 1024,
                "used_bytes": int(match[2]) * 1024,
                "available_bytes": max(0, int(match[3])) * 1024,
            }
        )
    return rows


def _kind(name: str) -> str:
    return name.rstrip("0123456789")


def _plain(word: str) -> str:
    unescaped = _OCTAL.sub(lambda match: chr(int(match[1], 8) % 256), word)
    return printable(unescaped, _PATH_LIMIT)
