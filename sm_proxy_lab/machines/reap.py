"""Kills all descendants of this process, also daemons, and removes the lab's folder.

The calling process is a child subreaper or process 1 of a PID namespace: so it becomes the parent
of daemons again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from pathlib import Path

from sm_proxy_lab.errors import report

_PATIENCE_S = 20.0


def _parent_of(pid: int) -> int | None:
    """Return the parent's pid, or None if the process has ended."""
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
    """Collect all children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def clean_up(folder: str) -> None:
    """Kill all descendants of this process, then remove the lab's folder."""
    left = kill_descendants()
    if left:
        report(f"could not end these processes: {left}")
    _end_daemons(Path(folder))
    _remove(folder)


def kill_descendants() -> list[int]:
    """Kill all descendants of this process until none is left.

    Returns:
        The pids that are still there after 20 s (stuck in the kernel); normally none.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        _collect()
        left = descendants(os.getpid())
        if not left or time.monotonic() > deadline:
            return left
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _end_daemons(folder: Path) -> None:
    """End the client's daemons that were started in the lab from outside (`lab up`).

    They are no descendants, and perhaps in another PID namespace. A daemon whose socket is not in
    its place ends at the next connection.
    """
    for path in folder.glob("state/daemon/*.sock"):
        moved = path.with_suffix(".gone")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            path.rename(moved)
            connection.setblocking(False)
            connection.connect(str(moved))


def _remove(folder: str) -> None:
    """Remove a folder; try again while something still writes into it."""
    deadline = time.monotonic() + _PATIENCE_S
    while Path(folder).exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)
