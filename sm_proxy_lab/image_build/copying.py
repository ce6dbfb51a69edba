"""COPY and ADD: from the context, or from another stage, into an image.

Source: the Dockerfile reference; the words of errors are BuildKit's.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from sm_proxy_lab.image_build.errors import DockerError
from sm_proxy_lab.image_build.ignore import Context
from sm_proxy_lab.image_build.paths import inside

_GLOB = frozenset("*?[")


@dataclass(frozen=True)
class Copying:
    """How to copy.

    Attributes:
        source: where from.
        root: the tree of the image.
        owner: uid and gid of what is copied; None keeps those of the source.
        mode: of the files; None keeps those of the source.
        unpack: unpack archives, as ADD does.
    """

    source: Context
    root: Path
    owner: tuple[int, int] | None
    mode: int | None = None
    unpack: bool = False

    def copy(self, names: list[str], target: str) -> None:
        """Copy to `target`, an absolute path of the image.

        Raises:
            DockerError: a source does not exist, or there are several for one file.
        """
        found = [each for name in names for each in self._find(name)]
        as_folder = target.endswith(("/", "/."))
        if len(names) > 1 and not as_folder:
            raise DockerError(
                "When using COPY with more than one source file, the destination must be a "
                "directory and end with a /"
            )
        as_folder = as_folder or len(found) > 1
        for name, path in found:
            place = inside(self.root, target)
            if path.is_dir():
                self._make(place)
                self._merge(path, place)
            elif self.unpack and path.is_file() and tarfile.is_tarfile(path):
                self._make(place)
                self._extract(path, place)
            else:
                if as_folder or place.is_dir():
                    place = inside(self.root, posixpath.join(target, name))
                self._make(place.parent)
                self._file(path, place)

    def write(self, name: str, content: str, target: str) -> None:
        """Write a text of the Dockerfile itself."""
        place = inside(self.root, target)
        if target.endswith("/") or place.is_dir():
            place = inside(self.root, posixpath.join(target, name))
        self._make(place.parent)
        place.write_text(content, encoding="utf-8")
        place.chmod(0o644 if self.mode is None else self.mode)
        self._own(place)

    def _find(self, name: str) -> list[tuple[str, Path]]:
        """The names and paths that a source means; symlinks are followed inside the source."""
        root = self.source.root
        clean = posixpath.normpath(posixpath.join("/", name)).lstrip("/")
        if _GLOB & set(clean):
            names = sorted(_matching(root, clean.split("/")))
        else:
            names = [clean] if os.path.lexists(root / clean) else []
        names = [each for each in names if self.source.has(posixpath.normpath(each))]
        found = [(posixpath.basename(each), inside(root, each)) for each in names]
        if not found or not all(path.exists() for _, path in found):
            raise DockerError(
                "failed to compute cache key: failed to calculate checksum of ref lab::context: "
                f'"/{clean}": not found'
            )
        return found

    def _merge(self, folder: Path, target: Path) -> None:
        """Copy what is in a folder."""
        for entry in sorted(os.scandir(folder), key=lambda each: each.name):
            path = Path(entry.path)
            name = os.path.relpath(path, self.source.root)
            if not self.source.has(name):
                continue
            # A folder of the image may be a symlink: /bin is one to usr/bin.
            place = inside(self.root, "/" + os.path.relpath(target / entry.name, self.root))
            if not entry.is_dir(follow_symlinks=False):
                self._file(path, target / entry.name)
                continue
            self._make(place)
            shutil.copymode(path, place)
            self._own(place, path)
            self._merge(path, place)

    def _file(self, source: Path, target: Path) -> None:
        """Copy one file, over what is there."""
        if target.is_dir() and not target.is_symlink():
            where = os.path.relpath(target, self.root)
            raise DockerError(f"cannot copy to non-directory: /{where}: file exists")
        target.unlink(missing_ok=True)
        status = source.lstat()
        if stat.S_ISLNK(status.st_mode):
            target.symlink_to(source.readlink())
        elif stat.S_ISREG(status.st_mode):
            shutil.copy2(source, target)
            if self.mode is not None:
                target.chmod(self.mode)
        else:
            return  # docker leaves sockets and devices out, too
        self._own(target, source)

    def _make(self, folder: Path) -> None:
        """Make a folder and those above it; new ones belong to the owner of the copy."""
        if folder.is_dir():
            return
        if os.path.lexists(folder):
            where = os.path.relpath(folder, self.root)
            raise DockerError(f"cannot copy to non-directory: /{where}")
        self._make(folder.parent)
        folder.mkdir()
        folder.chmod(0o755)
        self._own(folder)

    def _own(self, path: Path, source: Path | None = None) -> None:
        if os.geteuid() != 0:
            return
        owner = self.owner or (0, 0)
        if self.owner is None and source is not None:
            status = source.lstat()
            owner = status.st_uid, status.st_gid
        os.chown(path, *owner, follow_symlinks=False)

    def _extract(self, archive: Path, target: Path) -> None:
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="tar")


def _matching(root: Path, pattern: list[str], above: str = "") -> Iterator[str]:
    """Yield the paths below `root` that fit a pattern; `*` fits names with a leading dot, too."""
    folder = root / above
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    for name in names:
        if fnmatchcase(name, pattern[0]):
            here = f"{above}/{name}" if above else name
            if len(pattern) == 1:
                yield here
            else:
                yield from _matching(root, pattern[1:], here)
