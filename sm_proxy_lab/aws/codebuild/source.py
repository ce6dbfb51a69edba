"""DOWNLOAD_SOURCE: the zip in S3, unpacked."""

from __future__ import annotations

import io
import posixpath
import stat
import zipfile
from pathlib import Path


class SourceError(Exception):
    """The source is no zip, or has paths outside of its folder."""


def unpack(content: bytes, folder: Path) -> None:
    """Unpack a zip, with the modes and symlinks that it has.

    Raises:
        SourceError: it cannot be unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                _unpack_one(archive, entry, folder)
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise SourceError(str(error)) from None


def _unpack_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    name = posixpath.normpath(entry.filename)
    target = folder / name
    if name.startswith(("/", "../")) or not _is_below(target.parent, folder):
        raise SourceError(f"{entry.filename}: illegal file path")
    mode = entry.external_attr >> 16
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        target.symlink_to(archive.read(entry).decode())
        return
    with archive.open(entry) as source, target.open("wb") as file:
        while block := source.read(1 << 20):
            file.write(block)
    target.chmod(stat.S_IMODE(mode) or 0o644)


def _is_below(path: Path, folder: Path) -> bool:
    """Whether a folder, behind all its symlinks, is inside another one."""
    return path.resolve().is_relative_to(folder.resolve())
