"""Processes, parsed from /proc/PID/stat (proc(5)), and which of them are busy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.errors import printable
from sm_proxy.local.redaction import redact
from sm_proxy.remote.machine.numbers import is_count

_SHOWN: Final = 10
_COMMAND_LIMIT: Final = 200
# The name in brackets may itself contain brackets and spaces, so it ends at the last bracket.
_STAT: Final = re.compile(r"([0-9]{1,9}) \((.*)\) (\S) (.*)")
_CMDLINE: Final = re.compile(r"/proc/([0-9]{1,9})/cmdline:(.*)")
_FD: Final = re.compile(r"/proc/([0-9]{1,9})/fd")
_SOCKET: Final = re.compile(r"socket:\[([0-9]+)\]")
_USER_TIME, _SYSTEM_TIME, _RSS = 10, 11, 20  # fields after the state, from 0


@dataclass(frozen=True)
class Process:
    """One process at one moment: CPU time in ticks, resident memory in pages."""

    pid: int
    name: str
    ticks: int
    pages: int


def parse(lines: list[str]) -> dict[int, Process]:
    """The processes by pid."""
    found = {}
    for line in lines:
        match = _STAT.fullmatch(line)
        fields = match[4].split() if match else []
        if not match or len(fields) <= _RSS:
            continue
        numbers = [fields[index] for index in (_USER_TIME, _SYSTEM_TIME, _RSS)]
        if not all(map(is_count, numbers)):
            continue
        user, system, pages = map(int, numbers)
        pid = int(match[1])
        found[pid] = Process(pid, printable(match[2], 64), user + system, pages)
    return found


def commands(lines: list[str]) -> dict[int, str]:
    """Redacted command lines by pid; only the first line of each is used."""
    found: dict[int, str] = {}
    for line in lines:
        if (match := _CMDLINE.fullmatch(line)) and match[2].strip():
            found.setdefault(int(match[1]), _clean(match[2]))
    return found


def owners(lines: list[str]) -> dict[str, int]:
    """The owner's pid by socket inode, parsed from `ls -l /proc/PID/fd`."""
    found: dict[str, int] = {}
    pid = 0
    for line in lines:
        if match := _FD.match(line):
            pid = int(match[1])
        elif pid and (match := _SOCKET.search(line)):
            found.setdefault(match[1], pid)
    return found


def busiest(
    before: dict[int, Process],
    after: dict[int, Process],
    names: dict[int, str],
    *,
    ticks: float,
    page_kib: float,
) -> dict[str, list[dict[str, Any]]]:
    """The top processes, by CPU and by memory.

    Args:
        before: the processes in the first sample.
        after: those in the second sample.
        names: command lines by pid.
        ticks: of one CPU, between the two samples.
        page_kib: size of a page in KiB.
    """
    rows = [
        {
            "pid": process.pid,
            "command": names.get(process.pid, f"[{process.name}]"),
            "cpu_percent": round(100 * _spent(before, process) / ticks, 1) if ticks else 0.0,
            "rss_bytes": int(process.pages * page_kib * 1024),
        }
        for process in after.values()
        if process.pid in before  # newer processes belong to the probe itself
    ]
    by_cpu = [row for row in rows if float(str(row["cpu_percent"])) > 0]
    by_memory = [row for row in rows if row["rss_bytes"]]
    return {
        "by_cpu": sorted(by_cpu, key=lambda row: -float(str(row["cpu_percent"])))[:_SHOWN],
        "by_memory": sorted(by_memory, key=lambda row: -int(str(row["rss_bytes"])))[:_SHOWN],
    }


def _spent(before: dict[int, Process], process: Process) -> int:
    earlier = before.get(process.pid)
    return max(0, process.ticks - earlier.ticks) if earlier else 0


def _clean(text: str) -> str:
    return printable(redact(text), _COMMAND_LIMIT)
