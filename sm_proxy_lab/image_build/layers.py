"""The layers of images that the lab built: folders on this machine, found by their digest.

A layer's digest is that of a list of its files: their modes, owners and contents, but no times. So
the same Dockerfile and files give the same digest. What a registry stores for a layer is that list.
An image's lowest layer has no files: it names a root file system of the lab.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FILES: Final = "files"
_ROOT_SIZE: Final = 32_000_000  # what a small Debian image has
_LIST: Final = "layer.json"
_OPAQUE: Final = "trusted.overlay.opaque"


@dataclass(frozen=True)
class Layer:
    """A layer.

    Attributes:
        content: what a registry stores; its `size` is that of all files, in bytes.
    """

    content: bytes

    @property
    def digest(self) -> str:
        """`sha256:...`."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


def root_layer(root: str) -> Layer:
    """The lowest layer: it stands for one of the lab's root file systems."""
    return Layer(_document({"root": root, "size": _ROOT_SIZE}))


def root_of(content: bytes) -> str | None:
    """The root file system that a layer stands for; None for another layer."""
    try:
        root = json.loads(content).get("root")
    except (ValueError, AttributeError):
        return None
    return str(root) if root else None


class LayerStore:
    """The layers of all builds of a lab."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self, digest: str) -> Path | None:
        """The folder with a layer's files; None if there is no such layer here."""
        folder = self._place(digest) / FILES
        return folder if folder.is_dir() else None

    def read(self, digest: str) -> bytes:
        """What a registry stores for a layer."""
        return (self._place(digest) / _LIST).read_bytes()

    def gone(self, digest: str) -> list[str]:
        """The paths that the image of this uppermost layer does not have."""
        return list(json.loads(self.read(digest)).get("gone", ()))

    def _place(self, digest: str) -> Path:
        return self._folder / digest.removeprefix("sha256:")

    def save(self, upper: Path, below: Path | None) -> Layer:
        """Keep a copy of what a build has changed.

        Args:
            upper: the upper layer of an overlay, or a plain folder.
            below: what the overlay lies on, seen as one tree; None for a plain folder.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=self._folder, prefix="new-"))
        work.chmod(0o755)
        try:
            copy = _Copy(upper, work / FILES, below)
            copy.folder("")
            content = {
                "files": sorted(copy.entries, key=str),
                "gone": sorted(copy.gone),
                "size": copy.size,
            }
            layer = Layer(_document(content))
            (work / _LIST).write_bytes(layer.content)
            if not self._place(layer.digest).exists():
                work.rename(self._place(layer.digest))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return layer


class _Copy:
    """Copies a tree and lists it."""

    def __init__(self, source: Path, target: Path, below: Path | None) -> None:
        self._source, self._target, self._below = source, target, below
        self.entries: list[list[object]] = []
        self.gone: list[str] = []
        self.size = 0

    def folder(self, name: str) -> None:
        """Copy a folder with all that is in it."""
        source, target = self._source / name, self._target / name
        target.mkdir()
        for entry in sorted(os.scandir(source), key=lambda each: each.name):
            inside = f"{name}/{entry.name}" if name else entry.name
            if entry.is_dir(follow_symlinks=False):
                self.folder(inside)
            else:
                self._other(inside)
        if self._below is not None and _is_opaque(source):
            kept = {path.name for path in source.iterdir()}
            hidden = self._below / name
            names = [path.name for path in hidden.iterdir()] if hidden.is_dir() else []
            self.gone += [f"{name}/{each}" for each in names if each not in kept]
        self._note(name, "folder", source, target)

    def _other(self, name: str) -> None:
        source, target = self._source / name, self._target / name
        status = source.lstat()
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # an overlay's mark: deleted
            self.gone.append(name)
        elif stat.S_ISLNK(status.st_mode):
            link = source.readlink()
            target.symlink_to(link)
            self._note(name, f"link {link}", source, target)
        elif stat.S_ISREG(status.st_mode):
            shutil.copyfile(source, target)
            digest = _hash(target)
            self.size += status.st_size
            self._note(name, digest, source, target)
        elif stat.S_ISFIFO(status.st_mode):
            os.mkfifo(target)
            self._note(name, "fifo", source, target)

    def _note(self, name: str, what: str, source: Path, target: Path) -> None:
        status = source.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if os.geteuid() == 0:
            os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            target.chmod(mode)
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 else (0, 0)
        self.entries.append([name, what, mode, *owner])


def _hash(file: Path) -> str:
    """The SHA-256 of a file."""
    found = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _is_opaque(folder: Path) -> bool:
    try:
        return os.getxattr(folder, _OPAQUE) == b"y"
    except OSError:
        return False


def _document(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
