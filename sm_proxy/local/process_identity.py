"""Identify a process, so that a later run can tell whether it is still alive.

A pid is not enough: the system reuses it, it means another process in a container, and machines may
share a home folder. So the identity consists of the machine, its boot, the pid namespace, the pid
and the process's start time. docs/decisions/process-identity.md: why not psutil.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import sys
from pathlib import Path
from typing import Any, Final

_DEAD: Final = frozenset("ZX")
_QUERY_LIMITED: Final = 0x1000
_STILL_ACTIVE: Final = 259
_ACCESS_DENIED: Final = 5
_PROC: Final = "/proc"


def this_machine() -> dict[str, str]:
    """This machine (`machine`), its current boot (`boot`) and pid namespace (`world`)."""
    names = [socket.gethostname(), _text("/etc/machine-id")]
    return {
        "machine": "/".join(names),
        "boot": _text(f"{_PROC}/sys/kernel/random/boot_id"),
        "world": _link(f"{_PROC}/self/ns/pid"),
    }


@functools.cache
def this_process() -> dict[str, Any]:
    """The identity of this process, for `is_alive`; `started` is empty if it is unknown."""
    begun = ""
    with contextlib.suppress(PermissionError):  # a connection works without it
        begun = start_time(os.getpid())
    return {**this_machine(), "pid": os.getpid(), "started": begun}


def is_alive(process: dict[str, Any]) -> bool | None:
    """Whether a process still runs; None if unknown: another machine, pid namespace or user.

    Args:
        process: the result of `this_process` in that process.
    """
    now = this_machine()
    if process["machine"] != now["machine"]:
        return None
    if process["boot"] != now["boot"]:
        # Without a machine id, another machine may have the same name.
        return None if now["machine"].endswith("/") else False
    if process["world"] != now["world"] or not process["started"]:
        return None
    try:
        return bool(start_time(process["pid"]) == process["started"])
    except PermissionError:
        return None


def start_time(pid: int) -> str:
    """When the process started, in a form that depends on the platform; empty if it has ended.

    Raises:
        PermissionError: it may run, but we cannot read its state.
    """
    if sys.platform == "win32":
        return _started_windows(pid)
    if Path(_PROC, "self", "stat").exists():
        return _started_linux(pid)
    return _started_ps(pid)


def _started_linux(pid: int) -> str:
    try:
        found = Path(f"{_PROC}/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except OSError:  # for example no descriptor is left; the process may still run
        raise PermissionError("the state of the process is unknown") from None
    # proc(5): the name in brackets may contain anything; state is field 3, starttime field 22.
    fields = found.rpartition(")")[2].split()
    return "" if len(fields) < 20 or fields[0] in _DEAD else fields[19]


def _started_ps(pid: int) -> str:
    """On macOS and the BSDs, in seconds: no pid is reused that quickly."""
    import subprocess  # noqa: PLC0415 - only there

    command = ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)]
    # A fixed time zone: the laptop may travel while the process runs.
    words = {"LC_ALL": "C", "TZ": "UTC"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=5, env=words
        )
    except (OSError, subprocess.SubprocessError):
        raise PermissionError("ps cannot be run") from None
    state, _, begun = done.stdout.strip().partition(" ")
    return "" if state[:1] in _DEAD else " ".join(begun.split())


def _started_windows(pid: int) -> str:
    import ctypes  # noqa: PLC0415 - only there

    kernel: Any = getattr(ctypes, "WinDLL")("kernel32", use_last_error=True)  # noqa: B009
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(_QUERY_LIMITED, 0, pid)
    if not handle:
        if getattr(ctypes, "get_last_error")() == _ACCESS_DENIED:  # noqa: B009
            raise PermissionError("another user owns the process")
        return ""
    try:
        status = ctypes.c_ulong()
        times = [ctypes.c_ulonglong() for _ in range(4)]
        process = ctypes.c_void_p(handle)
        kernel.GetExitCodeProcess(process, ctypes.byref(status))
        kernel.GetProcessTimes(process, *map(ctypes.byref, times))
    finally:
        kernel.CloseHandle(ctypes.c_void_p(handle))
    return str(times[0].value) if status.value == _STILL_ACTIVE else ""


def _text(path: str) -> str:
    with contextlib.suppress(OSError, ValueError):
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _link(path: str) -> str:
    with contextlib.suppress(OSError):
        return str(Path(path).readlink())
    return ""
