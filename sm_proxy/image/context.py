"""The files of a build context that Docker would send, and warnings about them."""

from __future__ import annotations

import fnmatch
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.image import ignore
from sm_proxy.image.ignore import Ignored, State

PATTERNS: Final = ".dockerignore"
_EXECUTABLE: Final = 0o755
_SECRETS: Final = (
    *(".aws", ".docker", ".env", ".env.*", ".git", ".kube", ".netrc", ".npmrc", ".pypirc"),
    *(".ssh", "credentials.json", "id_dsa", "id_ecdsa", "id_ed25519", "id_rsa", "*.pem"),
)
"""Files and folders that often hold credentials; `.git` holds all that was ever committed."""
_HARMLESS: Final = (".env.dist", ".env.example", ".env.sample", ".env.template")
_NOT_READABLE: Final = f"Make it readable, or leave it out with a line in {PATTERNS}."


@dataclass(frozen=True)
class Entry:
    """A file, folder or symbolic link of the context.

    Attributes:
        name: its path in the context, with `/`.
        path: on this machine.
        status: as it was found; of the link itself, for a link.
    """

    name: str
    path: Path
    status: os.stat_result

    @property
    def size(self) -> int:
        """In bytes; 0 for all but files."""
        return self.status.st_size if stat.S_ISREG(self.status.st_mode) else 0

    @property
    def mode(self) -> int:
        """Its permission bits. Windows has none: there it is as Docker makes it."""
        return _EXECUTABLE if sys.platform == "win32" else stat.S_IMODE(self.status.st_mode)


@dataclass(frozen=True)
class Context:
    """What a build gets.

    Attributes:
        entries: sorted by name.
        dockerfile: its content.
        patterns: the content of the file that names what is left out; empty without one.
        passed_over: names of sockets, pipes and devices, which no image can have.
    """

    entries: tuple[Entry, ...]
    dockerfile: bytes
    patterns: bytes
    passed_over: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(entry.size for entry in self.entries)

    def biggest(self, count: int = 3) -> list[tuple[str, int]]:
        """The biggest files and folders at the top of the context, and their sizes in bytes."""
        sizes: Counter[str] = Counter()
        for entry in self.entries:
            sizes[entry.name.partition("/")[0]] += entry.size
        return sizes.most_common(count)

    def secrets(self) -> list[str]:
        """Names of what may hold credentials; of a folder, only the folder's."""
        found: list[str] = []
        for entry in self.entries:
            name = entry.name.rpartition("/")[2]
            if found and entry.name.startswith(f"{found[-1]}/"):
                continue
            if _matches(name, _SECRETS) and not _matches(name, _HARMLESS):
                found.append(entry.name)
        return found


def scan(folder: Path, file: Path | None = None) -> Context:
    """Find what a build of `folder` gets.

    Args:
        folder: the context.
        file: the Dockerfile; by default, the one in `folder`.

    Raises:
        SmProxyError: `bad-setting`, something is missing, unreadable, or not what it should be.
    """
    if not folder.is_dir():
        raise SmProxyError(
            "bad-setting", f"{folder} is not a directory", "Name the folder with your Dockerfile."
        )
    dockerfile = file or folder / "Dockerfile"
    content = _content(dockerfile, pipe=file is not None)
    if content is None:
        elsewhere = folder / dockerfile
        raise SmProxyError(
            "bad-setting",
            f"there is no {dockerfile}",
            f"--file is relative to the current folder, as in `docker build`: --file {elsewhere}"
            if elsewhere.is_file()
            else "Name it with --file.",
        )
    patterns, source = _patterns(folder, dockerfile)
    ignored = ignore.read(patterns.decode(errors="replace"), source)
    passed_over: list[str] = []
    found = sorted(_walk(folder, ignored, passed_over), key=lambda entry: entry.name)
    return Context(tuple(found), content, patterns, tuple(passed_over))


def _patterns(folder: Path, dockerfile: Path) -> tuple[bytes, str]:
    """What is left out, and the file that says so. A Dockerfile's own comes first, as in Docker."""
    for path in (dockerfile.with_name(f"{dockerfile.name}{PATTERNS}"), folder / PATTERNS):
        content = _content(path)
        if content is not None:
            return content, str(path)
    return b"", PATTERNS


def _content(path: Path, *, pipe: bool = False) -> bytes | None:
    """Of a file; None without one.

    Args:
        path: of the file.
        pipe: whether it may be a pipe, as in `--file <(...)`. Reading another would wait for ever.
    """
    try:
        if not pipe and path.is_fifo():
            raise ValueError("it is a pipe")  # noqa: TRY301 - told like the others
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise unreadable(str(path), error) from None


def _walk(folder: Path, ignored: Ignored, passed_over: list[str]) -> Iterator[Entry]:
    """The files that are sent. An ignored folder is sent if something in it is."""
    left: list[tuple[Path, str, State]] = [(folder, "", ())]
    while left:
        path, prefix, parent = left.pop()
        for item in _listed(path, prefix):
            name = prefix + item.name
            out, state = ignored.match(name, parent)
            is_folder = item.is_dir(follow_symlinks=False)
            if out and (not is_folder or ignored.hides_all_of(name)):
                continue
            if is_folder:
                left.append((path / item.name, f"{name}/", state))
            elif not (item.is_file(follow_symlinks=False) or item.is_symlink()):
                passed_over.append(name)
                continue
            if not out:
                yield Entry(name, path / item.name, _status(item, name))


def _listed(path: Path, name: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as items:
            return list(items)
    except OSError as error:
        raise unreadable(name or str(path), error) from None


def _status(item: os.DirEntry[str], name: str) -> os.stat_result:
    try:
        return os.lstat(item.path)  # that of DirEntry lacks st_ino on Windows
    except OSError as error:
        raise unreadable(name, error) from None


def unreadable(name: str, error: OSError | ValueError) -> SmProxyError:
    """The error for something of the context that cannot be read."""
    why = getattr(error, "strerror", None) or error
    return SmProxyError("bad-setting", f"{name} cannot be read: {why}", _NOT_READABLE)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
