"""GPUs, parsed from the CSV of `nvidia-smi --query-gpu`."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from sm_proxy.errors import printable
from sm_proxy.local.redaction import redact
from sm_proxy.remote.machine.numbers import is_count

_MIB: Final = 1 << 20
_FIELDS: Final = 8


def parse(found: dict[str, list[str]]) -> list[dict[str, Any]]:
    """One object per GPU; a number that the driver does not report is null.

    `{"index", "name", "utilization_percent", "memory_used_bytes", "memory_total_bytes",
    "temperature_c", "power_w", "processes": [{"pid", "command", "memory_bytes"}]}`
    """
    processes: dict[str, list[dict[str, Any]]] = {}
    for line in found.get("gpu-processes", []):
        words = [word.strip() for word in line.split(",", 3)]
        if len(words) == 4 and is_count(words[1]):
            processes.setdefault(words[0], []).append(
                {
                    "pid": int(words[1]),
                    "command": printable(redact(words[3]), 200),
                    "memory_bytes": _bytes(words[2]),
                }
            )
    rows = []
    for line in found.get("gpus", []):
        words = [word.strip() for word in line.split(",")]
        if len(words) != _FIELDS or not is_count(words[0]):
            continue
        rows.append(
            {
                "index": int(words[0]),
                "name": printable(words[2], 64),
                "utilization_percent": _number(words[3]),
                "memory_used_bytes": _bytes(words[4]),
                "memory_total_bytes": _bytes(words[5]),
                "temperature_c": _number(words[6]),
                "power_w": _number(words[7]),
                "processes": processes.get(words[1], []),
            }
        )
    return rows


def complaint(found: dict[str, list[str]]) -> str | None:
    """The line that nvidia-smi prints instead of a GPU; None if there is none."""
    lines = found.get("gpus", [])
    return printable(lines[0], 200) if lines and not parse(found) else None


def _number(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        value = float(text)
        if 0 <= value < 1e9:  # excludes infinity and NaN
            return value
    return None


def _bytes(text: str) -> int | None:
    mib = _number(text)
    return None if mib is None else int(mib * _MIB)
