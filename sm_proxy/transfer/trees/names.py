"""Names of files: which a server may send, which this machine can have, and temporary ones."""

from __future__ import annotations

import hashlib
import ntpath
import re
import sys
import tempfile
import unicodedata
from pathlib import Path
from typing import Final

_WINDOWS: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f\ud800-\udfff]|[ .]\Z')
_DEVICES: Final = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\.|\Z)", re.IGNORECASE)
_LONGEST: Final = 255  # bytes of a name, on the file systems of Linux and macOS


def refusal(name: str, *, windows: bool | None = None) -> str:
    """Why no file here may have a name that a server sent; empty if one may.

    Args:
        name: of an entry of a folder.
        windows: whether the file is for Windows; None asks this machine.
    """
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        return "the server sent a name that no file can have"
    if sys.platform == "win32" if windows is None else windows:
        if _WINDOWS.search(name) or _DEVICES.match(name):
            return "Windows does not allow this file name"
    return ""


def temporary(path: str, *, separators: str = "/") -> str:
    """The name beside `path` that its file has while it is not complete.

    Args:
        path: of the file to be.
        separators: of the system where it is.
    """
    cut = max(path.rfind(one) for one in separators) + 1
    folder, name = path[:cut], path[cut:]
    whole = f".{name}.sm-proxy-part"
    if len(whole.encode("utf-8", "surrogateescape")) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
        whole = f".{digest}.sm-proxy-part"
    return folder + whole


def base(path: str, *, windows: bool = False) -> str:
    """The last name of a path, without slashes after it; empty for `/`, `.` and `..`.

    Of a source with no such name, the contents are copied into the target.
    """
    name = ntpath.basename(path.rstrip("/\\")) if windows else path.rstrip("/").rpartition("/")[2]
    return "" if name in {".", ".."} or (windows and name.endswith(":")) else name


def join(folder: str, name: str) -> str:
    """The path of an entry of a folder in the container; the home folder is empty."""
    return f"{folder}{name}" if not folder or folder.endswith("/") else f"{folder}/{name}"


def folded(path: str) -> str:
    """What two paths have in common that are one on a disk that ignores case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def ignores_case(folder: Path) -> bool:
    """Whether `a` and `A` are one file in a folder; False if nothing can be written there."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.NamedTemporaryFile(prefix=".sm-proxy-case-", suffix="a", dir=folder) as probe:
            return Path(probe.name[:-1] + "A").exists()
    except OSError:
        return False
