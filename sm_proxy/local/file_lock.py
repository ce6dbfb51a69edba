"""An exclusive file lock for every platform, released when the process ends.

A wait for the lock always ends. After one second, a status line names the holder; at the end of the
wait, the error is `busy`. There are two kinds of locks. A writer of a shared file needs its lock
and waits up to `WRITER_S`. A cache lock only saves a second AWS call: after `CACHE_S` the caller
goes on without it.

The holder writes its process and the time into the lock file. A killed holder cannot remove this
note, so a note counts only while its process still runs.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import output, paths, permissions, private_files, process_identity, waits

WRITER_S: Final = 10.0
"""Seconds to wait for a writer's lock; a writer needs only milliseconds."""
CACHE_S: Final = 1.0
"""Seconds to wait for a cache lock: about as long as the call that it may save."""
_BUSIEST: Final = 30.0
"""A busy machine lengthens a wait by this factor at most."""
_REPORT_AFTER_S: Final = 1.0
_PAUSE_S: Final = (0.005, 0.05)
_NOTE_LIMIT: Final = 4096
_HELD: Final = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})
_NO_LOCKS: Final = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", errno.ENOSYS)}
)

if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE: Final = 1 << 30
    """On Windows no other process can read a locked byte, so we lock one far behind the note."""

    def _lock(handle: int) -> None:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(
    name: str, *, what: str = "", wait: bool = True, cache: Path | None = None
) -> Iterator[None]:
    """Hold the lock `name`.

    Args:
        name: of the lock file, without its suffix.
        what: what it guards, for messages: "the lock of ...".
        wait: whether to wait while another process holds it.
        cache: the cache folder, for a cache lock; other locks are in the state folder.

    Raises:
        SmProxyError: `busy`, another process held it for the whole wait; `bad-permissions`, others
            can write to its folder or file; `config-read-only`, the file cannot be created, or its
            file system has no locks.
    """
    path = (cache or paths.state_dir()) / f"{name}.lock"
    try:
        private_files.ensure_own_dir(path.parent)
        handle = private_files.open_own(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        if not _taken(handle, path):
            if not wait:
                raise _busy(handle, path, what or name, 0)
            _wait(handle, path, what or name, for_cache=cache is not None)
        _note(handle, json.dumps(_this_holder()).encode())
        try:
            yield
        finally:
            _note(handle, b"")
    finally:
        os.close(handle)


def _wait(handle: int, path: Path, what: str, *, for_cache: bool) -> None:
    """Wait for a lock that another process holds.

    Args:
        handle: descriptor of the lock file.
        path: of the lock file.
        what: what it guards.
        for_cache: whether it is a cache lock. Then a busy machine lengthens the wait: if many runs
            start at once, the one that asks AWS for all of them is slow too.
    """
    began = now = time.monotonic()
    waited = 0.0
    pause, longest = _PAUSE_S
    limit = CACHE_S if for_cache else WRITER_S
    with waits.waiting(f"waiting for the lock of {what}", limit) as wait:
        while waited < limit:
            if waited >= _REPORT_AFTER_S:
                holder = _holder(handle)
                wait.tell(f"waiting for {holder}, which holds the lock of {what}", output.status)
            time.sleep(pause)
            if _taken(handle, path):
                return
            later = time.monotonic()
            waited += (later - now) / (slowdown() if for_cache else 1.0)
            now = later
            pause = min(pause * 1.5, longest)
    raise _busy(handle, path, what, now - began)


def _busy(handle: int, path: Path, what: str, waited: float) -> SmProxyError:
    return SmProxyError(
        "busy",
        f"{_holder(handle)} holds the lock of {what} and did not release it within {waited:.0f} s",
        f"Let it finish, or end it, then try again; the lock is {path}.",
    )


def slowdown() -> float:
    """The number of runnable programs for each processor, at least 1; 1 if unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        running = Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0]
        busy = (int(running) - 1) / (os.cpu_count() or 1)  # without this one
        return min(max(1.0, busy), _BUSIEST)
    return 1.0


def try_lock(handle: int) -> bool | None:
    """Lock an open file of the caller's until it is closed.

    Returns:
        whether it is locked; None if its file system has no locks.
    """
    try:
        _lock(handle)
    except OSError as error:
        return False if error.errno in _HELD else None
    return True


def _taken(handle: int, path: Path) -> bool:
    try:
        _lock(handle)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise _unusable(path, error) from None
    return True


def _this_holder() -> dict[str, Any]:
    return {"process": process_identity.this_process(), "since": time.time()}


def _note(handle: int, note: bytes) -> None:
    # On a full disk there is no note; the lock works without it.
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, note)


def _holder(handle: int) -> str:
    """Who holds the lock and since when, as far as that is known."""
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        note = json.loads(os.read(handle, _NOTE_LIMIT))
        process, since = note["process"], float(note["since"])
        alive = process_identity.is_alive(process)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
        name = f"process {int(process['pid'])}"
        where = "" if alive else f" of {process['machine'].partition('/')[0]}"
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
    ):
        alive = False
    return f"{name}{where} (since {when})" if alive is not False else _UNKNOWN


_UNKNOWN: Final = "an unknown process"


def _unusable(path: Path, error: OSError) -> SmProxyError:
    if isinstance(error, private_files.NotOursError):
        return permissions.not_ours(error, path, "SM_PROXY_STATE_DIR")
    if error.errno in _NO_LOCKS:
        hint = "Its file system has no locks. Set SM_PROXY_STATE_DIR to a folder on another one."
    elif path.is_symlink() or path.is_dir():
        hint = f"Check what is there, then run: {permissions.move_away(path)}"
    else:
        hint = "Make its folder writable, or set SM_PROXY_STATE_DIR to another one."
    why = f"the lock {path} cannot be taken: {error.strerror or error}"
    return SmProxyError("config-read-only", why, hint)
