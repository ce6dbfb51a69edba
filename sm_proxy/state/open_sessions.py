"""Records of the open sessions of this user's processes, so that a later run can end orphans.

A process killed by SIGKILL cannot end its session, which then stays open until its idle timeout. So
each open session has a file. A later run with the same profile, region and endpoint ends the
sessions whose process is gone. Sessions of another machine that shares the home folder are left to
that machine. The files contain no token: a session's id alone opens nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log, file_lock, paths, private_files, process_identity

LIMIT: Final = 256
"""How many files are kept at most."""
BATCH: Final = 16
"""How many sessions one run ends at most."""
KEEP_S: Final = 28 * 24 * 3600.0
"""How long a file is kept: the longest that a job may run."""
_TORN_AFTER_S: Final = 60.0
"""How long an unreadable file is kept: another process may still be writing it."""
_READ_LIMIT: Final = 1 << 14

Terminate = Callable[[str], bool]
"""Ends a session by its id; returns whether its record can go."""


def add(session_id: str, scope: str) -> None:
    """Record that this process holds a session open; failures are ignored.

    Args:
        session_id: the session.
        scope: distinguishes accounts and regions.
    """
    with contextlib.suppress(OSError, SmProxyError):
        path = _path(session_id)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        with os.fdopen(
            os.open(private_files.ensure_own_dir(path.parent) / path.name, flags, 0o600), "wb"
        ) as file:
            file.write(_record(session_id, scope))


def adopt(session_id: str, scope: str) -> None:
    """As `add`, for a session that another process has recorded and handed over to this one."""
    with contextlib.suppress(OSError, SmProxyError):
        private_files.write_private(_path(session_id), _record(session_id, scope))


def remove(session_id: str) -> None:
    """Remove the record of a session that is over."""
    with contextlib.suppress(OSError, SmProxyError):
        _path(session_id).unlink(missing_ok=True)


def orphans(scope: str | None = None) -> list[str]:
    """The ids of the sessions whose process is gone; removes files that are too old or too many.

    Args:
        scope: only those of this account and region; None for all.
    """
    found = []
    wanted = None if scope is None else _digest(scope)
    for number, path in enumerate(sorted(_files(), key=_age)):
        record = _read(path)
        too_old = _age(path) > (KEEP_S if record else _TORN_AFTER_S)
        if too_old or number >= LIMIT:
            with contextlib.suppress(OSError):
                path.unlink()
        elif record and wanted in {None, record["context"]} and _gone(record["process"]):
            found.append(record["session"])
    return found


def end_orphans(scope: str, terminate: Terminate) -> int:
    """End the sessions that dead processes left open, unless another run does so now.

    Args:
        scope: distinguishes accounts and regions.
        terminate: ends one of them.

    Returns:
        How many were ended.
    """
    ended = 0
    if not orphans(scope):
        return ended
    with _alone() as alone:
        for session_id in orphans(scope)[:BATCH] if alone else ():
            if terminate(session_id):
                debug_log.write("ended a session that was left open", id=session_id)
                remove(session_id)
                ended += 1
    return ended


@contextlib.contextmanager
def _alone() -> Iterator[bool]:
    try:
        stack = contextlib.ExitStack()
        stack.enter_context(file_lock.locked("open-sessions", wait=False))
    except SmProxyError:
        yield False
        return
    with stack:
        yield True


def _files() -> list[Path]:
    with contextlib.suppress(OSError, SmProxyError):
        folder = _folder()
        private_files.refuse_shared(folder)
        return list(folder.glob("*.json"))
    return []


def _gone(process: Any) -> bool:
    try:
        return process_identity.is_alive(process) is False
    except (KeyError, TypeError, AttributeError, OverflowError):
        return False


def _record(session_id: str, scope: str) -> bytes:
    record = {
        "session": session_id,
        "context": _digest(scope),
        "process": process_identity.this_process(),
    }
    return json.dumps(record).encode()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(private_files.read_own(path, _READ_LIMIT))
        good = all(isinstance(record[name], str) for name in ("session", "context"))
        good = good and _path(record["session"]).name == path.name
    except (OSError, ValueError, TypeError, KeyError, RecursionError, SmProxyError):
        return None
    return record if good and isinstance(record.get("process"), dict) else None


def _age(path: Path) -> float:
    with contextlib.suppress(OSError):
        return time.time() - path.lstat().st_mtime
    return 0.0


def _path(session_id: str) -> Path:
    return _folder() / f"{_digest(session_id)}.json"


def _folder() -> Path:
    return paths.state_dir() / "open-sessions"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
