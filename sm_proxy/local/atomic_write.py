"""Replace a file of the user's so that whoever reads it sees the old or the new one, whole.

A temporary file in the target's own folder is written, synced and renamed over it. What was there
is kept first: `.original` once, `.latest` each time, in the state folder, where no Include with a
wildcard reads them.

Other programs save such files too. Where the system can swap two files, what stood there is looked
at once more when it has been replaced: if it is not what the new content was made of, it is put
back, and the caller reads it again. On Linux that look waits for whoever is saving in place. Where
two files cannot be swapped, it is looked at just before, and a save within the next microseconds is
lost, except for what its editor has of it.

The new file has the mode and, where possible, the owner of the old one; on Linux also its ACL, its
SELinux label and its extended attributes, which macOS and Windows give us no plain way to copy.
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
"""A temporary file as old as this belongs to a writer that was killed."""
_KEPT_ATTRIBUTES = ("user.", "system.", "security.selinux")
"""`system.posix_acl_access` is the ACL."""
BACKUPS = "backups"
"""The folder for what was replaced, in the state folder."""
_RECENT_S = 2.0
_SETTLE_S = 0.1
"""Who truncates a file and fills it again is done within it."""
_SWAPS = 100
LIMIT = 64 << 20
"""A config of more bytes than this is none."""


def follow_symlinks(path: Path) -> Path:
    """The file a symlink leads to: dotfile managers link ~/.ssh/config into a repository.

    Raises:
        SmProxyError: `config-read-only`, the links lead in a circle.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise _unusable(path, "it is a symlink that leads in a circle")
    return target


def read(path: Path) -> bytes | None:
    """The file's bytes, None where there is none.

    Raises:
        SmProxyError: `config-read-only`, it is no regular file, or may not be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a FIFO would keep us waiting for ever
            raise _unusable(path, "it is no regular file")
        if found.st_size > LIMIT:
            raise _unusable(path, f"it has {found.st_size} bytes")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from None


def refuse_read_only(path: Path) -> None:
    """A rename would replace a file that its owner has made read-only: take that as a no.

    Raises:
        PermissionError: it is read-only, or managed by Nix.
    """
    if path.is_relative_to("/nix/store"):
        raise PermissionError(30, "managed by Nix or home-manager")
    with contextlib.suppress(FileNotFoundError):
        if not path.stat().st_mode & stat.S_IWUSR or not os.access(path, os.W_OK):
            raise PermissionError(13, "the file is read-only")


def refuse_linked(path: Path) -> None:
    """A rename would cut a file off from its other names, a dotfiles folder's for instance.

    Raises:
        OSError: it has several hard links.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_nlink > 1:
            raise OSError(errno.EMLINK, "its other hard links would keep the old content")


class ChangedError(OSError):
    """Another program has saved the file since it was read."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EBUSY, "another program is changing it", str(path))


def replace(path: Path, content: bytes) -> None:
    """Write `content` to `path`, keeping the looks of what is there; for files that are ours alone.

    Raises:
        OSError: the folder is not writable, the file is immutable, the disk is full, ...
    """
    with _prepared(path, content) as new:
        new.replace(path)


def exchange(path: Path, before: bytes | None, content: bytes) -> None:
    """Write `content` to `path` in place of `before`, None where no file was.

    Raises:
        ChangedError: something else stands there by now, and still does.
        OSError: as `replace`.
    """
    with _prepared(path, content) as new:
        if before is None:
            _put_where_none_is(new, path)
        else:
            _put_instead(new, path, before, content)


def remove(path: Path, before: bytes) -> None:
    """Remove `path`, which holds `before`.

    Raises:
        ChangedError: it holds something else by now, and still does.
        OSError: the folder is not writable, ...
    """
    with _prepared(path, b"") as aside:
        path.replace(aside)
        if _content(aside) != before:
            with contextlib.suppress(ChangedError):  # saved again: that is the newer one
                _put_where_none_is(aside, path)
            raise ChangedError(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def _prepared(path: Path, content: bytes) -> Iterator[Path]:
    """A file beside `path` with that content and the looks of `path`; gone in the end."""
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
    # Seldom does the look at what was replaced find what this one did not: meanwhile, others would
    # read what was made of an older save, or of half a save.
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
    """Whether it is what was read, once nobody who saves in place is writing into it any more."""
    recent = abs(time.time() - displaced.stat().st_mtime) < _RECENT_S
    with lease.nobody_writing(displaced) as known:
        if not known and recent and _content(displaced) == before:
            time.sleep(_SETTLE_S)
        return _content(displaced) == before


def _put_back(displaced: Path, path: Path, ours: bytes) -> None:
    """Let the newest save of another program stand at `path` again."""
    last = ours
    for _ in range(_SWAPS):
        save = _content(displaced)
        try:
            rename.swap(displaced, path)
        except FileNotFoundError:  # another one is moved there just now
            with contextlib.suppress(ChangedError):
                _put_where_none_is(displaced, path)
            return
        if _content(displaced) in {ours, last}:
            return
        last = save or b""  # a newer save was there: it goes back


def _content(path: Path) -> bytes | None:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return None


def sync_folder(folder: Path) -> None:
    """Make a rename or a removal last; a file system that cannot is no failure."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_stale(path: Path) -> None:
    """Remove what writers that were killed have left beside `path`."""
    for left in path.parent.glob(f"{_temporary(path)}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_S:
                left.unlink()


def back_up(path: Path, before: bytes) -> None:
    """Keep what is about to be replaced: the first ever for good, and the latest.

    Raises:
        NotOursError: the folder for it is another user's, or others may write into it.
        OSError: the state folder is not writable.
    """
    private_files.ensure_own_dir(paths.state_dir() / BACKUPS)
    if not private_files.exists(backup_path(path, "original")):
        replace(backup_path(path, "original"), before)
    replace(backup_path(path, "latest"), before)


@contextlib.contextmanager
def backed_up(path: Path, before: bytes) -> Iterator[None]:
    """Keep what is replaced inside; where it was not, it is no original.

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
    """Where `back_up` puts what stood in `path`; `which` is `original` or `latest`."""
    place = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return paths.state_dir() / BACKUPS / f"{path.name}-{place}.sm-proxy.{which}"


def _temporary(path: Path) -> str:
    return f".{path.name}.sm-proxy-"


def _dress(handle: int, name: Path, path: Path) -> None:
    """Give the new file the looks of the old one; 0600 where there is none."""
    try:
        old = path.stat()
    except FileNotFoundError:
        name.chmod(0o600)  # whatever the umask
        return
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle, old.st_uid, old.st_gid)
    _keep_attributes(path, name)
    name.chmod(stat.S_IMODE(old.st_mode))


def _keep_attributes(path: Path, name: Path) -> None:
    """What stands beside a file's mode, as far as this user may set it and it is not of its bytes.

    A signature of its bytes (`security.ima`) would be that of other bytes.
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
        "Mend it, or name another file with --ssh-config.",
    )
