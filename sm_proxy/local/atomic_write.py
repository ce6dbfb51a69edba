"""Replace one of the user's files atomically: a reader sees the old or the new file, never a mix.

We write a temporary file in the same folder, sync it and rename it over the target. First we back
up the old file in the state folder: `.original` once, `.latest` each time. No Include with a
wildcard reads the state folder.

Another program may save the file at the same time. Where the system can swap two files, we swap
them and then compare the old file with the content that ours is based on. If they differ, we swap
back, and the caller reads the file again. On Linux, the comparison waits for a program that is
writing the file in place. Where the system cannot swap, we compare just before the rename: a save
in the microseconds between is lost, unless the other editor still has it.

The new file gets the old one's mode and, where possible, its owner. On Linux it also gets its ACL,
SELinux label and extended attributes; macOS and Windows have no simple way to copy these.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sm_proxy.errors import SmProxyError
from sm_proxy.local import lease, paths, private_files, rename

_STALE_S = 600
"""A temporary file of this age was left by a killed writer."""
_KEPT_ATTRIBUTES = ("user.", "system.", "security.selinux")
"""`system.posix_acl_access` is the ACL."""
BACKUPS = "backups"
"""The folder for backups, below the state folder."""
_RECENT_S = 2.0
_SETTLE_S = 0.1
"""Time enough for a program to truncate the file and write it again."""
_SWAPS = 100
LIMIT = 64 << 20
"""A larger file, in bytes, is not a config."""


def follow_symlinks(path: Path) -> Path:
    """The file that a symlink leads to: dotfile managers link ~/.ssh/config into a repository.

    Raises:
        SmProxyError: `config-read-only`, the links lead in a circle, or a folder cannot be read.
    """
    target = Path(os.path.realpath(path))
    try:
        circular = target.is_symlink()
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None
    if circular:
        raise _unusable(path, "it is a symlink that leads in a circle")
    return target


def read(path: Path) -> bytes | None:
    """The file's bytes, None if it does not exist.

    Raises:
        SmProxyError: `config-read-only`, not a regular file, too large, or not readable.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # reading a FIFO would never return
            raise _unusable(path, "it is not a regular file")
        if found.st_size > LIMIT:
            raise _unusable(path, f"it is too large ({found.st_size} bytes)")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None


def refuse_read_only(path: Path) -> None:
    """Refuse to replace a read-only file: a rename would ignore its mode.

    Raises:
        PermissionError: it is read-only, or managed by Nix.
    """
    if path.is_relative_to("/nix/store"):
        raise PermissionError(30, "managed by Nix or home-manager")
    with contextlib.suppress(FileNotFoundError):
        if not path.stat().st_mode & stat.S_IWUSR or not os.access(path, os.W_OK):
            raise PermissionError(13, "the file is read-only")


def refuse_linked(path: Path) -> None:
    """Refuse a file with several hard links: a rename would break them. Dotfile managers make such.

    Raises:
        OSError: it has several hard links.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_nlink > 1:
            raise OSError(errno.EMLINK, "its other hard links would keep the old content")


class ChangedError(OSError):
    """Another program saved the file after we read it."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EBUSY, "another program is changing it", str(path))


def replace(path: Path, content: bytes) -> None:
    """Replace a file that only we write; it keeps its mode, owner and attributes.

    Raises:
        OSError: the folder is not writable, the file is immutable, the disk is full, ...
    """
    with _prepared(path, content) as new:
        new.replace(path)


def exchange(path: Path, before: bytes | None, content: bytes) -> None:
    """Replace `before`, the file's content as read (None: no file), with `content`.

    Raises:
        ChangedError: the file has another content now, and keeps it.
        OSError: as `replace`.
    """
    with _prepared(path, content) as new:
        if before is None:
            _put_where_none_is(new, path)
        else:
            _put_instead(new, path, before, content)


def exchange_users(path: Path, before: bytes | None, content: bytes) -> None:
    """As `exchange`, for a file of the user's: it is backed up, and what would break is refused.

    Raises:
        ChangedError: as `exchange`.
        OSError: as `exchange`, `refuse_read_only`, `refuse_linked` and `back_up`.
    """
    refuse_read_only(path)
    with contextlib.ExitStack() as stack:
        if before is not None:
            refuse_linked(path)
            stack.enter_context(backed_up(path, before))
        exchange(path, before, content)


def remove(path: Path, before: bytes) -> None:
    """Remove the file if its content is still `before`.

    Raises:
        ChangedError: the file has another content now, and keeps it.
        OSError: the folder is not writable, ...
    """
    with _prepared(path, b"") as aside:
        path.replace(aside)
        if _content(aside) != before:
            with contextlib.suppress(ChangedError):  # it was saved again: keep that newer save
                _put_where_none_is(aside, path)
            raise ChangedError(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def _prepared(path: Path, content: bytes) -> Iterator[Path]:
    """A temporary file beside `path` with that content and the attributes of `path`."""
    private_files.ensure_private_dir(path.parent)
    remove_stale(path)
    handle, name = tempfile.mkstemp(prefix=_temporary(path), dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            _dress(file.fileno(), new, path)
            os.fsync(file.fileno())
        yield new
    finally:
        with contextlib.suppress(OSError):
            new.unlink()
    sync_folder(path.parent)


def _put_where_none_is(new: Path, path: Path) -> None:
    try:
        if rename.rename_new(new, path):
            return
    except FileExistsError:
        raise ChangedError(path) from None
    if path.exists():
        raise ChangedError(path)
    new.replace(path)


def _put_instead(new: Path, path: Path, before: bytes, content: bytes) -> None:
    # Compare before the swap as well. Otherwise other programs could read, until we swap back, a
    # file that is based on an older or a half-written save.
    with lease.nobody_writing(path):
        if _content(path) != before:
            raise ChangedError(path)
        try:
            swapped = rename.swap(new, path)
        except FileNotFoundError:
            raise ChangedError(path) from None
    if not swapped:
        new.replace(path)
    elif not _is_still(new, before):
        _put_back(new, path, content)
        raise ChangedError(path)


def _is_still(displaced: Path, before: bytes) -> bool:
    """Whether the content is still `before`, after any write in place has finished."""
    recent = abs(time.time() - displaced.stat().st_mtime) < _RECENT_S
    with lease.nobody_writing(displaced) as known:
        if not known and recent and _content(displaced) == before:
            time.sleep(_SETTLE_S)
        return _content(displaced) == before


def _put_back(displaced: Path, path: Path, ours: bytes) -> None:
    """Put the newest save of another program back to `path`."""
    last = ours
    for _ in range(_SWAPS):
        save = _content(displaced)
        try:
            rename.swap(displaced, path)
        except FileNotFoundError:  # another program is renaming a file to it
            with contextlib.suppress(ChangedError):
                _put_where_none_is(displaced, path)
            return
        if _content(displaced) in {ours, last}:
            return
        last = save or b""  # we displaced a newer save: put it back


def _content(path: Path) -> bytes | None:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return None


def sync_folder(folder: Path) -> None:
    """Make a rename or removal durable, where the file system can sync a folder."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_stale(path: Path) -> None:
    """Remove temporary files that killed writers left beside `path`."""
    for left in path.parent.glob(f"{_temporary(path)}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_S:
                left.unlink()


def back_up(path: Path, before: bytes) -> None:
    """Back up the content that we are about to replace: the first one for good, and the latest.

    Raises:
        NotOursError: another user owns the backup folder, or others may write to it.
        OSError: the state folder is not writable.
    """
    private_files.ensure_own_dir(paths.state_dir() / BACKUPS)
    if not private_files.exists(backup_path(path, "original")):
        replace(backup_path(path, "original"), before)
    replace(backup_path(path, "latest"), before)


@contextlib.contextmanager
def backed_up(path: Path, before: bytes) -> Iterator[None]:
    """Back up `before` while the body replaces it; drop a new `.original` if it did not.

    Raises:
        OSError: as `back_up`.
    """
    original = backup_path(path, "original")
    first = not private_files.exists(original)
    back_up(path, before)
    try:
        yield
    except ChangedError:
        if first:
            original.unlink()
        raise


def backup_path(path: Path, which: str) -> Path:
    """The backup file of `path`; `which` is `original` or `latest`."""
    place = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return paths.state_dir() / BACKUPS / f"{path.name}-{place}.sm-proxy.{which}"


def _temporary(path: Path) -> str:
    return f".{path.name}.sm-proxy-"


def _dress(handle: int, name: Path, path: Path) -> None:
    """Copy mode, owner and attributes of the old file; mode 0600 if there is none."""
    try:
        old = path.stat()
    except FileNotFoundError:
        name.chmod(0o600)  # independent of the umask
        return
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle, old.st_uid, old.st_gid)
    _keep_attributes(path, name)
    name.chmod(stat.S_IMODE(old.st_mode))


def _keep_attributes(path: Path, name: Path) -> None:
    """Copy the extended attributes that this user may set.

    Not `security.ima`: it signs the old content.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        for attribute in os.listxattr(path):
            if attribute.startswith(_KEPT_ATTRIBUTES):
                with contextlib.suppress(OSError):
                    os.setxattr(name, attribute, os.getxattr(path, attribute))


def _unusable(path: Path, why: str) -> SmProxyError:
    return SmProxyError(
        "config-read-only",
        f"{path} cannot be read: {why}",
        "Make it a regular file that you can read.",
    )
