"""Modes of our ssh folder and of keys: what others could read or write is mended, or refused.

Read-only exposure is fixed, and the user is told. What others could have written is refused: a
key, a host key or a ProxyCommand of theirs may stand there by now.
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
    """Refuse a folder of ours that others may write into; one that is not there yet is good.

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
    """What to say where a folder or file of ours is not ours alone.

    Args:
        error: what refused it.
        path: the folder or file.
        instead: the option or variable that names another one.
    """
    where = str(error.filename or path)
    return SmProxyError(
        "bad-permissions",
        f"{where} cannot be trusted: {error.strerror or error}",
        f"Look what stands there, then: {_mends(Path(where))}"
        if _is_ours(Path(where))
        else f"Name a folder of your own with {instead}.",
    )


def _mends(path: Path) -> str:
    """The command for what is ours: taking others' rights away, or else the thing itself."""
    try:
        mode = path.lstat().st_mode
        writable = bool(mode & _WRITE) and (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    except OSError:
        writable = False
    return f"chmod go-w {shlex.quote(str(path))}" if writable else move_away(path)


def move_away(path: Path) -> str:
    """The command that keeps what stands in the way of a file of ours, under another name."""
    return f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.away')}"


def secure_own_key(path: Path) -> None:
    """Take the reading of a private key of ours from others; refuse what they could have put there.

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
            f"Remove it, and a new one is made: rm {shlex.quote(str(path))}; a key of your own is "
            "named with --identity-file.",
        )
    if found.st_mode & _READ:
        _close(path)
        output.status(
            f"the private key {path} was readable by others (mode {found.st_mode & 0o777:04o}) "
            "and is private now; if others use this machine: sm-proxy keys rotate, then revoke"
        )


def check_users_key(path: Path) -> None:
    """Refuse a private key of the user's that ssh would pass over; a public one is for everybody.

    Raises:
        SmProxyError: `bad-permissions`.
    """
    if sys.platform == "win32" or path.suffix == ".pub":
        return
    with contextlib.suppress(OSError):
        found = path.stat()
        # As OpenSSH has it: another user's file, in a container for instance, is not looked at.
        if found.st_uid == os.geteuid() and found.st_mode & _READ:
            raise SmProxyError(
                "bad-permissions",
                f"others may read the private key {path} (mode {found.st_mode & 0o777:04o}), "
                "so ssh passes over it",
                f"chmod 600 {shlex.quote(str(path))}",
            )


def _close(path: Path) -> None:
    """Mode 0600 for the file that we have looked at, not for one put in its place meanwhile."""
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
