"""An exclusive lock on a file of ours, on both platforms, released when the process ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from sm_proxy import paths
from sm_proxy.errors import SmProxyError

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_LOCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock `name`; it stands in the state folder, never in `~/.ssh`.

    Raises:
        SmProxyError: `config-read-only`, the state folder is not writable or cannot lock.
    """
    handle = _locked_file(paths.state_dir() / f"{name}.lock")
    try:
        yield
    finally:
        os.close(handle)


def _locked_file(path: Path) -> int:
    try:
        paths.private_dir(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            _lock(handle)
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
