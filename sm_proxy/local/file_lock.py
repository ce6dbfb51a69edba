"""An exclusive lock on a file of ours, on every platform, released when the process ends.

No wait for another process is silent or without an end: after a second the user is told who holds
the lock, and then the wait ends with `busy`. Two kinds of locks differ in when, and in what happens
next. Who writes a file that others write too needs the lock (`WRITER_S`). Who only wants to spare
AWS a second call goes on without it (`CACHE_S`).

The holder writes into the file who it is and since when. What stands there may be an earlier
holder's, killed before it could take it out, so it is believed only where that process still runs.
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
from sm_proxy.local import output, paths, permissions, private_files, process_identity

WRITER_S: Final = 10.0
"""How long who needs the lock waits for it: a writer is done within milliseconds."""
CACHE_S: Final = 1.0
"""How long who can do without waits: about as long as the call that the lock may spare."""
_BUSIEST: Final = 30.0
"""No machine counts as busier than so many programs for each processor."""
_TELL_S: Final = 1.0
_PAUSE_S: Final = (0.005, 0.05)
_NOTE_LIMIT: Final = 4096
_HELD: Final = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})
_NO_LOCKS: Final = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", errno.ENOSYS)}
)

if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE: Final = 1 << 30
    """Nobody else can read a byte that is locked on Windows: one far behind the holder's note."""

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
        what: what it guards, for the user: "the lock of ...".
        wait: whether to wait for whoever holds it.
        cache: where the lock of a cache stands; others stand in the state folder, none in `~/.ssh`.

    Raises:
        SmProxyError: `busy`, somebody held it all that time, and who it is; `bad-permissions`,
            its folder or file is not ours alone; `config-read-only`, it cannot be made, or its
            file system cannot lock.
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
            _wait(handle, path, what or name, spares=cache is not None)
        _note(handle, json.dumps(_this_holder()).encode())
        try:
            yield
        finally:
            _note(handle, b"")
    finally:
        os.close(handle)


def _wait(handle: int, path: Path, what: str, *, spares: bool) -> None:
    """Wait for a lock that somebody holds; `spares`: it is only there to spare a call.

    The patience for such a lock is in seconds of a machine that has nothing else to do: where many
    runs start at once, the one that asks for all of them is slow as well.
    """
    began = now = time.monotonic()
    waited = 0.0
    pause, longest = _PAUSE_S
    told = False
    while waited < (CACHE_S if spares else WRITER_S):
        if waited >= _TELL_S and not told:
            output.status(f"waiting for {_holder(handle)}, which holds the lock of {what}")
            told = True
        time.sleep(pause)
        if _taken(handle, path):
            return
        later = time.monotonic()
        waited += (later - now) / (_slowdown() if spares else 1.0)
        now = later
        pause = min(pause * 1.5, longest)
    raise _busy(handle, path, what, now - began)


def _busy(handle: int, path: Path, what: str, waited: float) -> SmProxyError:
    return SmProxyError(
        "busy",
        f"{_holder(handle)} holds the lock of {what} and did not release it within {waited:.0f} s",
        f"Let it finish, or end it, then try again; the lock is {path}.",
    )


def _slowdown() -> float:
    """How many programs want to run for each processor now; 1 where that cannot be told."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        running = Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0]
        busy = (int(running) - 1) / (os.cpu_count() or 1)  # without this one
        return min(max(1.0, busy), _BUSIEST)
    return 1.0


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
    # A full disk: then nobody learns who it is, and that is all.
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


_UNKNOWN: Final = "a process that has not said who it is"


def _unusable(path: Path, error: OSError) -> SmProxyError:
    if isinstance(error, private_files.NotOursError):
        return permissions.not_ours(error, path, "SM_PROXY_STATE_DIR")
    if error.errno in _NO_LOCKS:
        hint = "Its file system has no locks: name a folder on another with SM_PROXY_STATE_DIR."
    elif path.is_symlink() or path.is_dir():
        hint = f"Look what stands there, then: {permissions.move_away(path)}"
    else:
        hint = "Make its folder writable, or name another one with SM_PROXY_STATE_DIR."
    why = f"the lock {path} cannot be taken: {error.strerror or error}"
    return SmProxyError("config-read-only", why, hint)
