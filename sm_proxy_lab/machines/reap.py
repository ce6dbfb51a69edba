"""Find and end every descendant of this process, however deep it hid, and what they left on disk.

The caller is a child subreaper, so a process that daemonised itself has become our child again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

_PATIENCE_S = 20.0


def _parent_of(pid: int) -> int | None:
    """Return the parent's pid, or None where the process is gone."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(line.rpartition(")")[2].split()[1])


def descendants(root: int) -> list[int]:
    """List the pids below `root`, zombies included, parents before children."""
    children: dict[int, list[int]] = {}
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        parent = _parent_of(pid)
        if parent is not None:
            children.setdefault(parent, []).append(pid)
    found = list(children.get(root, []))
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def _collect() -> None:
    """Take the exit statuses of all ended children."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def kill_descendants(*, spare: int | None = None) -> list[int]:
    """Kill all descendants of this process until none is left.

    Args:
        spare: the pid of one that ends its own descendants and then itself; it is waited for.

    Returns:
        The pids that were still there when time was up (stuck in the kernel), normally none.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        _collect()
        left = descendants(os.getpid())
        if not left or time.monotonic() > deadline:
            return left
        spared = [spare, *descendants(spare)] if spare is not None else []
        for pid in [pid for pid in left if pid not in spared]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def remove_folder(folder: str) -> None:
    """Remove the lab's folder, again until it is gone: the dying may still write into it.

    Whoever was not our descendant (the supervisor's children, when it was killed) ends by the
    kernel's parent-death signal, a moment after we have begun to remove.

    Args:
        folder: the path; it may be gone already.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while Path(folder).exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)
