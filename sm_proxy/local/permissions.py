"""Check who else may read or write our ssh folder and private keys.

If others could only read, we fix the mode and tell the user. If others could write, we refuse: they
may have put their own key, host key or ProxyCommand there.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import sys
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import output, private_files

_READ: Final = stat.S_IRWXG | stat.S_IRWXO
_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def check_folder(path: Path) -> None:
    """Refuse a folder that others may write to; a missing folder is fine.

    Raises:
        SmProxyError: `bad-permissions`.
    """
    try:
        private_files.refuse_shared(path)
    except PermissionError as error:
        raise not_ours(error, path, "--ssh-dir") from None
    except OSError:
        return


def not_ours(error: PermissionError, path: Path, instead: str) -> SmProxyError:
    """The error for a folder or file that others can write to.

    Args:
        error: from the check of the folder or file.
        path: the folder or file.
        instead: the option or variable that sets another place.
    """
    where = str(error.filename or path)
    return SmProxyError(
        "bad-permissions",
        f"{where} cannot be trusted: {error.strerror or error}",
        f"Check what is there, then run: {_fix(Path(where))}"
        if _is_ours(Path(where))
        else f"Set {instead} to a folder of your own.",
    )


def _fix(path: Path) -> str:
    """The command that removes others' write permission, or else moves the file away."""
    try:
        mode = path.lstat().st_mode
        writable = bool(mode & _WRITE) and (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    except OSError:
        writable = False
    return f"chmod go-w {shlex.quote(str(path))}" if writable else move_away(path)


def move_away(path: Path) -> str:
    """The command that renames whatever is at `path`."""
    return f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.away')}"


def secure_own_key(path: Path) -> None:
    """Make our private key readable for its owner only; refuse it if others could write it.

    Raises:
        SmProxyError: `bad-permissions`.
    """
    if sys.platform == "win32":
        return
    try:
        found = path.lstat()
    except OSError:
        return
    link = stat.S_ISLNK(found.st_mode)
    if link or not _is_ours(path) or found.st_mode & _WRITE:
        why = "is a symlink" if link else "could have been written by others"
        raise SmProxyError(
            "bad-permissions",
            f"our key {path} {why}",
            f"Remove it to get a new one: rm {shlex.quote(str(path))}; or use your own key with "
            "--identity-file.",
        )
    if found.st_mode & _READ:
        _close(path)
        output.status(
            f"others could read the private key {path} (mode {found.st_mode & 0o777:04o}); now "
            "only you can. If others use this machine: sm-proxy keys rotate, then keys revoke"
        )


def check_users_key(path: Path) -> None:
    """Refuse the user's private key if ssh would ignore it because others may read it.

    Raises:
        SmProxyError: `bad-permissions`.
    """
    if sys.platform == "win32" or path.suffix == ".pub":
        return
    with contextlib.suppress(OSError):
        found = path.stat()
        # Like OpenSSH, do not check a file that another user owns, as in some containers.
        if found.st_uid == os.geteuid() and found.st_mode & _READ:
            raise SmProxyError(
                "bad-permissions",
                f"others may read the private key {path} (mode {found.st_mode & 0o777:04o}), "
                "so ssh ignores it",
                f"chmod 600 {shlex.quote(str(path))}",
            )


def _close(path: Path) -> None:
    """Set mode 0600 without following a symlink that may have replaced the file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
    except OSError as error:
        raise SmProxyError(
            "bad-permissions",
            f"others may read the private key {path}: {error.strerror or error}",
            f"chmod 600 {shlex.quote(str(path))}",
        ) from None


def _is_ours(path: Path) -> bool:
    if sys.platform == "win32":
        return True
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:
        return False
