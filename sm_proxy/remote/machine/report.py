"""The report on a machine as one JSON object, made from the probe's output.

    {"system": {"hostname", "kernel", "os", "cpus", "cpu_model", "uptime_s", "load": [3 numbers]},
     "gpus": [see gpus.py], "gpu_problem": str|null,
     "memory": {"total_bytes", "available_bytes", "swap_total_bytes", "swap_free_bytes",
                "limit_bytes"},
     "block_devices": [see disks.py], "file_systems": [see disks.py],
     "interfaces": [see net.py], "listening": [see net.py],
     "processes": {"count", "by_cpu": [...], "by_memory": [...]} (see processes.py),
     "environment": [names], "features": [str], "problems": [str], "window": str|null,
     "complete": bool}

Unknown numbers are null; sizes are in bytes. Code in the job controls all of the input, so strings
are made printable and bounded, and no input makes this module raise.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any, Final

from sm_proxy.errors import printable
from sm_proxy.remote.machine import disks, gpus, net, processes
from sm_proxy.remote.machine.numbers import is_count

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_NO_LIMIT: Final = 1 << 60  # cgroup v1 reports a huge number for no limit
_TICKS_PER_S: Final = 100.0  # on every Linux of SageMaker
_PAGE_BYTES: Final = 4096.0
OF_ENTRYPOINT: Final = frozenset({"features", "problems", "window"})
"""The members that only our entrypoint provides."""
_WINDOWS: Final = frozenset({"wait", "keep", "shell", "none"})


def of(found: dict[str, list[str]]) -> dict[str, Any]:
    """The report; `found` holds the lines of each section."""
    names = processes.commands(found.get("commands", []))
    before, after = (processes.parse(found.get(key, [])) for key in ("stat1", "stat2"))
    elapsed = _first_number(found, "time2") - _first_number(found, "time1")
    tick = _first_number(found, "tick") or _TICKS_PER_S
    page = _first_number(found, "page") or _PAGE_BYTES
    top = processes.busiest(
        before, after, names, ticks=max(0.0, elapsed * tick), page_kib=page / 1024
    )
    owners = processes.owners(found.get("sockets", []))
    return {
        "system": _system(found),
        "gpus": gpus.parse(found),
        "gpu_problem": gpus.complaint(found),
        "memory": _memory(found),
        "block_devices": disks.block_devices(found),
        "file_systems": disks.file_systems(found),
        "interfaces": net.interfaces(found),
        "listening": net.listening(found, owners, names),
        "processes": {"count": len(after), **top},
        "environment": sorted({n for n in found.get("environment", []) if _NAME.fullmatch(n)}),
        **_marker(found),
        "window": _window(found),
        "complete": "end" in found,
    }


def _system(found: dict[str, list[str]]) -> dict[str, Any]:
    hostname, kernel, release = [*found.get("system", []), "", "", ""][:3]
    cpus, model = [*found.get("cpus", []), "", ""][:2]
    return {
        "hostname": printable(hostname, 64),
        "kernel": printable(kernel, 128),
        "os": printable(release.partition("=")[2].strip('"'), 128) or None,
        "cpus": int(cpus) if is_count(cpus) else None,
        "cpu_model": printable(model.partition(":")[2], 128) or None,
        "uptime_s": int(_first_number(found, "time2") or _first_number(found, "time1")),
        "load": [
            value for word in _words(found, "load")[:3] if (value := _float(word)) is not None
        ],
    }


def _memory(found: dict[str, list[str]]) -> dict[str, int | None]:
    table = {}
    for line in found.get("memory", []):
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and is_count(words[0]):
            table[name] = int(words[0]) * 1024
    limits = [int(line) for line in found.get("limits", []) if is_count(line)]
    return {
        "total_bytes": table.get("MemTotal"),
        "available_bytes": table.get("MemAvailable", table.get("MemFree")),
        "swap_total_bytes": table.get("SwapTotal"),
        "swap_free_bytes": table.get("SwapFree"),
        "limit_bytes": next((limit for limit in limits if limit < _NO_LIMIT), None),
    }


def _marker(found: dict[str, list[str]]) -> dict[str, list[str]]:
    document: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads("".join(found.get("marker", [])))
    if not isinstance(document, dict):
        document = {}
    return {name: _strings(document.get(name)) for name in ("features", "problems")}


def _strings(value: object) -> list[str]:
    items = value if isinstance(value, list) else []
    return [printable(item, 200) for item in items[:32] if isinstance(item, str)]


def _window(found: dict[str, list[str]]) -> str | None:
    word = " ".join(_words(found, "window"))
    return word if word in _WINDOWS else None


def _words(found: dict[str, list[str]], name: str) -> list[str]:
    return next(iter(found.get(name, [])), "").split()


def _first_number(found: dict[str, list[str]], name: str) -> float:
    return next((value for word in _words(found, name)[:1] if (value := _float(word))), 0.0)


def _float(word: str) -> float | None:
    return float(word) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,6})?", word) else None
