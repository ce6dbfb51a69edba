"""The zip with a build's source: the same bytes for the same files.

It holds `Dockerfile`, `Dockerfile.dockerignore` and `context.tar`. The Dockerfile stands beside the
context because it may lie outside of it; the patterns beside it are those that Docker then applies,
so a file that we send although Docker would not is left out by Docker itself.

Times and owners are fixed. Docker gives what it copies to root by default, and a checkout changes
times, but not content. Only another version of Python or zlib may write other bytes.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.image import context as contexts
from sm_proxy.image.context import Context, Entry

_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold."""
_TIME_S: Final = 315_532_800
_BLOCK: Final = 1 << 20
_READ_ONLY: Final = sum(
    getattr(os, name, 0) for name in ("O_RDONLY", "O_BINARY", "O_NOFOLLOW", "O_NONBLOCK")
)
"""Refuses a link, and does not block on a pipe, in the place of a file."""


@dataclass(frozen=True)
class Archive:
    """A finished zip.

    Attributes:
        sha256: of its bytes, in hexadecimal.
        size: in bytes.
    """

    sha256: str
    size: int

    @property
    def checksum(self) -> str:
        """The same digest as S3 writes it."""
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()


def write(context: Context, file: IO[bytes], on_progress: Callable[[int], None]) -> Archive:
    """Write the zip of a context.

    Args:
        context: what to send.
        file: an empty file, open for reading and writing.
        on_progress: takes the number of bytes of the context that were read so far.

    Raises:
        SmProxyError: `file-edited`, a file was changed meanwhile; `bad-setting`, one cannot be
            read; `unsupported`, no room for the zip.
    """
    try:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_member("Dockerfile"), context.dockerfile)
            archive.writestr(_member("Dockerfile.dockerignore"), context.patterns)
            with (
                archive.open(_member("context.tar"), "w", force_zip64=True) as out,
                tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                _add_all(tar, context, on_progress)
        file.flush()
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise SmProxyError(
            "unsupported",
            f"the build context cannot be packed: {error.strerror}",
            "Free some space, or name a folder with more of it in TMPDIR.",
        ) from None
    return _digested(file)


def _add_all(tar: tarfile.TarFile, context: Context, on_progress: Callable[[int], None]) -> None:
    done = 0
    for entry in context.entries:
        _add(tar, entry)
        done += entry.size
        on_progress(done)


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.mtime, info.mode = _TIME_S, entry.mode
    kind = entry.status.st_mode
    if stat.S_ISLNK(kind):
        info.type, info.mode = tarfile.SYMTYPE, 0o777
        try:
            info.linkname = os.readlink(entry.path)  # noqa: PTH115 - as it is written
        except OSError as error:
            raise _changed(entry) from error
    elif stat.S_ISDIR(kind):
        info.type = tarfile.DIRTYPE
    else:
        _add_file(tar, entry, info)
        return
    tar.addfile(info)


def _add_file(tar: tarfile.TarFile, entry: Entry, info: tarfile.TarInfo) -> None:
    """Add a file, unless it has changed since it was listed."""
    info.size = entry.size
    try:
        descriptor = os.open(entry.path, _READ_ONLY)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}:
            raise _changed(entry) from None
        raise contexts.unreadable(entry.name, error) from None
    with open(descriptor, "rb", buffering=_BLOCK) as file:  # noqa: PTH123 - a descriptor
        if _state(os.fstat(descriptor)) != _state(entry.status):
            raise _changed(entry)
        reader = _Reader(file, entry)
        tar.addfile(info, reader)
        if _state(os.fstat(descriptor)) != _state(entry.status):
            raise _changed(entry)


class _Reader:
    """A file whose read errors name it, in contrast to errors of the zip."""

    def __init__(self, file: IO[bytes], entry: Entry) -> None:
        self._file, self._entry = file, entry

    def read(self, size: int = 0, /) -> bytes:
        """The next bytes, as many as asked for: the size of the file is known."""
        try:
            content = self._file.read(size)
        except OSError as error:
            raise contexts.unreadable(self._entry.name, error) from None
        if len(content) < size:
            raise _changed(self._entry)
        return content


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns


def _changed(entry: Entry) -> SmProxyError:
    return SmProxyError(
        "file-edited",
        f"{entry.name} was changed while the build context was read",
        "Try again when nothing writes to it, or leave it out with a line in .dockerignore.",
    )


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, on Windows too
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _digested(file: IO[bytes]) -> Archive:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(_BLOCK):
        digest.update(block)
    size = file.tell()
    file.seek(0)
    return Archive(digest.hexdigest(), size)
