"""The daemon's socket, and the lock by which there is one daemon for each identity."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sm_proxy.daemon import peers, place
from sm_proxy.daemon.file_watch import Watch
from sm_proxy.local import private_files

_HELD: Final = frozenset({errno.EAGAIN, errno.EACCES, errno.ENOENT})
"""A lock is held, or its file has just been removed by a daemon that ended."""
CLAIM: Final = "SM_PROXY_DAEMON_CLAIM"
"""The variable of a daemon with the descriptor from `claim_start`."""
_OTHERS: Final = 0o177
_NEW: Final = ".new"


class Listening:
    """A socket that listens, with its lock.

    A fork of the daemon does not hold the lock: it belongs to the process (fcntl(2), record locks).

    Attributes:
        listener: the socket.
        path: where it listens.
        watch: tells when to ask `is_gone`.
    """

    def __init__(self, path: Path, lock: int, backlog: int) -> None:
        self.path = path
        self._lock = lock
        self._lock_found = os.fstat(lock)
        new = path.with_suffix(_NEW)
        new.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(_OTHERS)
        try:
            self.listener.bind(str(new))
            self.listener.listen(backlog)
            new.replace(path)  # a process that finds the socket can connect
            self.watch = Watch(path)
            self._found = path.lstat()
        except OSError:
            self.listener.close()
            raise
        finally:
            os.umask(mask)

    def is_gone(self) -> bool:
        """Whether no launcher uses the socket any more.

        It was removed, there is another one, or others may connect to it.
        """
        try:
            now = self.path.lstat()
        except OSError:
            return True
        before = self._found
        rights = (before.st_mode, before.st_uid)
        return not os.path.samestat(now, before) or (now.st_mode, now.st_uid) != rights

    def remove(self) -> None:
        """Remove the socket and release the lock, at the end of the daemon; not in a fork."""
        self.listener.close()
        self.watch.close()
        # If the folder was removed, these may be another daemon's.
        for found, path in ((self._found, self.path), (self._lock_found, _lock_file(self.path))):
            with contextlib.suppress(OSError):
                if _is_same(found, path):
                    path.unlink()
        os.close(self._lock)


def listen(
    whose: str, backlog: int, prepare: Callable[[], None] = lambda: None
) -> Listening | None:
    """Listen at the best path that works.

    Args:
        whose: the daemon's identity.
        backlog: how many connections may wait.
        prepare: called first, unless another daemon listens. No launcher has to wait for it.

    Returns:
        None if another daemon listens already, or no folder takes a socket: a full or read-only
        disk, a folder that others can write to.
    """
    prepared = False
    for path in map(Path, place.sockets(whose)):
        try:
            _ensure_ours(path.parent)
            lock = _locked(_lock_file(path))
        except OSError:
            continue
        if lock is None:
            return None
        path.unlink(missing_ok=True)  # left by a daemon that was killed
        if not prepared:
            prepare()
            prepared = True
        try:
            found = Listening(path, lock, backlog)
        except OSError:
            os.close(lock)
            continue
        sweep(path.parent, path)
        return found
    return None


def claim_start(whose: str) -> int | None:
    """Claim the start of a daemon: a descriptor for it to inherit, and to close once it listens.

    Until that is closed, or its process has ended, nobody else starts one: twelve simultaneous
    connections start one daemon, and `stop` knows that another daemon may follow.

    Returns:
        None if nothing can be claimed here.

    Raises:
        BlockingIOError: another process is starting one.
    """
    for path in place.sockets(whose):
        folder = Path(path).parent
        try:
            _ensure_ours(folder)
            return _claimed(folder)
        except BlockingIOError:
            raise
        except OSError:
            continue
    return None


def end_start() -> None:
    """In a daemon that listens: end the claim with which it was started."""
    with contextlib.suppress(OSError, ValueError):
        os.close(int(os.environ.pop(CLAIM, "")))


def is_starting(whose: str) -> bool:
    """Whether another process is about to listen for this identity."""
    for path in map(Path, place.sockets(whose)):
        with contextlib.suppress(OSError):
            try:
                os.close(_claimed(path.parent))
            except BlockingIOError:
                return True
            if (lock := _locked(_lock_file(path), create=False)) is not None:
                os.close(lock)
            elif not os.path.lexists(path):
                return True
    return False


def _ensure_ours(folder: Path) -> None:
    """Make a folder, unless it exists.

    Raises:
        OSError: it is not ours alone, or cannot be made.
    """
    private_files.ensure_private_dir(folder)
    peers.refuse_foreign_folder(str(folder))


def _claimed(folder: Path) -> int:
    """A descriptor with a lock on the folder. A program that inherits it has the lock, too.

    Raises:
        BlockingIOError: another process has it.
        OSError: there is no such folder, or this file system has no locks.
    """
    import fcntl  # noqa: PLC0415 - Windows has none

    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(number)
        raise
    return number


def sweep(folder: Path, own: Path | None = None) -> None:
    """Remove what killed daemons have left, also of other versions, or before the last boot.

    Args:
        folder: of their sockets.
        own: the socket of this process, if it is a daemon.
    """
    for path in folder.glob("*.lock"):
        if own and path == _lock_file(own):  # closing it once would release our lock (fcntl(2))
            continue
        with contextlib.suppress(OSError):
            if (lock := _locked(path)) is not None:
                for each in (path.with_suffix(".sock"), path.with_suffix(_NEW), path):
                    each.unlink(missing_ok=True)
                os.close(lock)


def _is_same(found: os.stat_result, path: Path) -> bool:
    """Whether a path leads to the file that was found."""
    try:
        return os.path.samestat(found, path.lstat())
    except OSError:
        return False


def _lock_file(path: Path) -> Path:
    return path.with_suffix(".lock")


def _locked(path: Path, *, create: bool = True) -> int | None:
    """The descriptor of a lock file that we have locked; None if another daemon has it.

    Raises:
        OSError: it cannot be created, or this file system has no locks.
    """
    import fcntl  # noqa: PLC0415 - Windows has none

    lock = private_files.open_own(path, os.O_RDWR | (os.O_CREAT if create else 0))
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.lstat()):
            return lock
    except OSError as error:
        if error.errno not in _HELD:
            os.close(lock)
            raise
    os.close(lock)
    return None
