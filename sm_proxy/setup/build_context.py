"""The container's files in a user's build context, `DIR/sm-proxy/`, and an example Dockerfile.

A note in that folder holds the digest of every file as we wrote it. So a later run can replace a
file of an older version, and leave alone a file that the user has edited.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from sm_proxy import __version__
from sm_proxy.errors import SmProxyError
from sm_proxy.local import container_files, private_files

FOLDER: Final = "sm-proxy"
NOTE: Final = ".written-by-sm-proxy.json"
EXAMPLE: Final = "Dockerfile.sm-proxy"
PYTHON_SERVER: Final = "RUN python3 -m pip install --no-cache-dir 'asyncssh>=2.10'"
_APT: Final = (
    "RUN apt-get update && apt-get install -y --no-install-recommends openssh-server"
    " && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_*"
)
_COPY: Final = f"COPY {FOLDER}/ /opt/sm-proxy/"
_ENTRYPOINT: Final = 'ENTRYPOINT ["sh", "/opt/sm-proxy/entrypoint.sh", "python3", "train.py"]'

State = Literal["new", "same", "older", "edited"]


@dataclass(frozen=True)
class File:
    """One file to write.

    Attributes:
        path: of the file.
        content: to write.
        state: of the file on disk: `new` (missing), `same`, `older` (as an older version of ours
            wrote it), or `edited` (by the user).
        program: whether it must be executable.
    """

    path: Path
    content: bytes
    state: State
    program: bool

    @property
    def needed(self) -> bool:
        """Whether it must be written."""
        return self.state != "same"


def planned(folder: Path) -> list[File]:
    """What `container init` would write below `folder`.

    Raises:
        SmProxyError: `bad-setting`, it is not a folder; `config-read-only`, it cannot be read.
    """
    if not folder.is_dir():
        raise SmProxyError(
            "bad-setting", f"{folder} is not a directory", "Name the folder with your Dockerfile."
        )
    target = folder / FOLDER
    known = _note(target / NOTE)
    return [
        _planned(target / name, name, content, known)
        for name, content in container_files.read().items()
        if container_files.belongs_in_an_image(name)
    ]


def apply(folder: Path, files: list[File], *, force: bool) -> None:
    """Write the files; without `force`, write nothing if the user has edited one of them.

    Raises:
        SmProxyError: `file-edited`; `config-read-only`, the folder is not writable.
    """
    edited = [str(file.path) for file in files if file.state == "edited"]
    if edited and not force:
        raise SmProxyError(
            "file-edited",
            f"{', '.join(edited)}: changed since sm-proxy wrote it, or not written by sm-proxy",
            "List the files with --dry-run; overwrite yours with --force.",
        )
    digests = {file.path.relative_to(folder / FOLDER).as_posix(): _digest(file) for file in files}
    note = {"version": __version__, "sha256": digests}
    try:
        for file in files:
            _write(file)
        _replace(folder / FOLDER / NOTE, (json.dumps(note, indent=1) + "\n").encode(), 0o644)
    except OSError as error:
        raise SmProxyError(
            "config-read-only",
            f"{folder / FOLDER} cannot be written: {error.strerror or error}",
            "Make it writable, or name another folder.",
        ) from None


def dockerfile_lines(*, python_server: bool) -> list[str]:
    """The lines that a user's Dockerfile needs."""
    server = PYTHON_SERVER if python_server else _APT
    return [server, _COPY, _ENTRYPOINT]


def write_example(folder: Path, lines: list[str]) -> Path | None:
    """Write an example Dockerfile if the folder has none.

    Returns:
        Its path; None if nothing was written.

    Raises:
        SmProxyError: `config-read-only`, it cannot be written.
    """
    path = folder / EXAMPLE
    if (folder / "Dockerfile").exists() or path.exists():
        return None
    words = [
        "# An example for sm-proxy: replace the image and the program with your own.",
        "FROM python:3.12-slim",
        *lines[:-1],
        "WORKDIR /opt/program",
        "COPY train.py ./",
        lines[-1],
        "",
    ]
    try:
        _replace(path, "\n".join(words).encode(), 0o644)
    except OSError as error:
        raise SmProxyError(
            "config-read-only", f"{path} cannot be written: {error.strerror or error}"
        ) from None
    return path


def _planned(path: Path, name: str, content: bytes, known: dict[str, str]) -> File:
    return File(path, content, _state(path, name, content, known), container_files.is_program(name))


def _state(path: Path, name: str, content: bytes, known: dict[str, str]) -> State:
    try:
        on_disk = path.read_bytes()
    except FileNotFoundError:
        return "new"
    except OSError as error:
        raise SmProxyError(
            "config-read-only", f"{path} cannot be read: {error.strerror or error}"
        ) from None
    # A checkout on Windows may have changed the line ends: that is not an edit.
    plain = on_disk.replace(b"\r\n", b"\n")
    if on_disk == content:
        return "same"
    ours = hashlib.sha256(plain).hexdigest() == known.get(name) or plain == content
    return "older" if ours else "edited"


def _note(path: Path) -> dict[str, str]:
    """The digests by file name; empty if the note is missing or damaged."""
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    digests = document.get("sha256") if isinstance(document, dict) else None
    return digests if isinstance(digests, dict) else {}


def _digest(file: File) -> str:
    return hashlib.sha256(file.content).hexdigest()


def _write(file: File) -> None:
    mode = 0o755 if file.program else 0o644
    if file.needed:
        _replace(file.path, file.content, mode)
    elif file.program:
        file.path.chmod(mode)


def _replace(path: Path, content: bytes, mode: int) -> None:
    # A build context is not secret: other users' builds read it too.
    path.parent.mkdir(parents=True, exist_ok=True)
    private_files.write_whole(path, content, mode)


def shown(path: Path, folder: Path) -> str:
    """A path relative to the build context, with forward slashes."""
    return PurePosixPath(*path.relative_to(folder).parts).as_posix()
