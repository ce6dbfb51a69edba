"""The files of `container/`, which go into a training image.

An installed package contains the folder; in a clone it is beside the package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

BOOTSTRAP: Final = "bootstrap.sh"
"""The script that `sm-proxy bootstrap` runs."""


def folder() -> Path:
    """The folder with these files."""
    package = Path(__file__).parents[1]
    installed = package / "container"
    return installed if installed.is_dir() else package.parent / "container"


def read() -> dict[str, bytes]:
    """The content of each file by its path in the folder, with `/`; without compiled files."""
    root = folder()
    found = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def belongs_in_an_image(name: str) -> bool:
    """Whether an image needs the file: not the documentation, the examples, and `BOOTSTRAP`."""
    return "/" not in name and name not in {"README.md", BOOTSTRAP}


def for_a_container() -> dict[str, bytes]:
    """The content of each file that a container needs, by name, with the line ends of Unix.

    A checkout on Windows may have changed them.
    """
    return {
        name: content.replace(b"\r\n", b"\n")
        for name, content in read().items()
        if belongs_in_an_image(name)
    }


def for_a_running_container() -> dict[str, bytes]:
    """The same, with the script that starts ssh in a container without our entrypoint."""
    script = (folder() / BOOTSTRAP).read_bytes()
    return {**for_a_container(), BOOTSTRAP: script.replace(b"\r\n", b"\n")}


def is_program(name: str) -> bool:
    """Whether the file must be executable: an archive or Windows may have lost the bit."""
    return name.endswith(".sh")
