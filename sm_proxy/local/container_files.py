"""The files of `container/`: what goes into a training image.

They stand in the package once it is installed, and beside it in a clone.
"""

from __future__ import annotations

from pathlib import Path


def folder() -> Path:
    """The folder that holds them."""
    package = Path(__file__).parents[1]
    installed = package / "container"
    return installed if installed.is_dir() else package.parent / "container"


def read() -> dict[str, bytes]:
    """Every file by its path below the folder, `/` between the parts; without the compiled."""
    root = folder()
    found = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def is_program(name: str) -> bool:
    """Whether a file of ours has to be executable; an archive or Windows may have lost the bit."""
    return name.endswith(".sh")
