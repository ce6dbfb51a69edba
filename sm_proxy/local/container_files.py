"""The files of `container/`, which go into a training image.

An installed package contains the folder; in a clone it is beside the package.
"""

from __future__ import annotations

from pathlib import Path


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
    """Whether a container needs the file: not the documentation and the examples."""
    return "/" not in name and name not in {"Dockerfile", "README.md"}


def is_program(name: str) -> bool:
    """Whether the file must be executable: an archive or Windows may have lost the bit."""
    return name.endswith(".sh")
