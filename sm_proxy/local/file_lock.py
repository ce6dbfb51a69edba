"""An exclusive lock on a file of ours, on both platforms, released when the process ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths, private_files

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int, *, wait: bool) -> None:
        msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int, *, wait: bool) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


# A symlink that somebody has planted must make no file elsewhere; Windows has neither flag.
_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


@contextlib.contextmanager
def locked(name: str, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock `name`; it stands in the state folder, never in `~/.ssh`.

    Args:
        name: of the lock.
        wait: until whoever holds it lets go; else that is an error.

    Raises:
        SmProxyError: `config-read-only`, the state folder is not writable or cannot lock.
    """
    handle = _locked_file(paths.state_dir() / f"{name}.lock", wait=wait)
    try:
        yield
    finally:
        os.close(handle)


def _locked_file(path: Path, *, wait: bool) -> int:
    try:
        private_files.ensure_private_dir(path.parent)
        handle = os.open(path, _FLAGS, 0o600)
        try:
            _lock(handle, wait=wait)
        except BaseException:
            os.close(handle)
            raise
    except OSError as error:
        raise SmProxyError(
            "config-read-only",
            f"the lock {path} cannot be taken: {error.strerror or error}",
            "Make its folder writable, or name another one with SM_PROXY_STATE_DIR.",
        ) from None
    return handle
