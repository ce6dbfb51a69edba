"""Writes a container's files before its first process runs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sm_proxy.local import container_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Where a user's Dockerfile would copy our files to.
HOME = "opt/sm-proxy"
_ENTRYPOINT = f"/{HOME}/entrypoint.sh"
_PROGRAMS = "opt/program"
_SSHD_USER = "sshd:x:74:65534:sshd:/run/sshd:/usr/sbin/nologin"


def shipped_files() -> dict[str, bytes]:
    """Return the files of `container/` and the demo's training program."""
    demo = Path(__file__).parents[1] / "train_demo.sh"
    return {**container_files.read(), demo.name: demo.read_bytes()}


def write_image(root: Path) -> None:
    """Write the shipped files below `root`; set their modes, which an archive may have lost."""
    for name, content in shipped_files().items():
        file = root / HOME / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if container_files.is_program(name) else 0o644)


def write_ml(root: Path, folders: Sequence[str], documents: Mapping[str, object]) -> None:
    """Make `/opt/ml`.

    Args:
        root: where the container's files are prepared.
        folders: the folders below `/opt/ml`.
        documents: path below `/opt/ml` -> content of a JSON file.
    """
    ml = root / "opt" / "ml"
    for folder in folders:
        (ml / folder).mkdir(parents=True)
    for name, document in documents.items():
        (ml / name).write_text(json.dumps(document), encoding="utf-8")


def write_checkpoint(root: Path) -> None:
    """Write the checkpoint from which the demo's program resumes."""
    folder = root / "opt/ml/checkpoints"
    folder.mkdir(exist_ok=True)
    # Random bytes: a wrong copy shows, and no connection can compress them.
    (folder / "checkpoint-1.bin").write_bytes(os.urandom(4 << 20))


def write_etc(root: Path, *, host: str, addresses: dict[str, str], own_users: bool = False) -> None:
    """Write the files of /etc that differ from the host's.

    Args:
        root: where the container's files are prepared.
        host: the container's name.
        addresses: name -> address of each node.
        own_users: the image has its own user databases.
    """
    etc = root / "etc"
    etc.mkdir()
    names = "".join(f"{address} {name}\n" for name, address in addresses.items())
    files = {
        "hosts": f"127.0.0.1 localhost\n{names}",
        "hostname": f"{host}\n",
        "resolv.conf": "",
        **({} if own_users else _users()),
    }
    for name, content in files.items():
        (etc / name).write_text(content, encoding="utf-8")
        (etc / name).chmod(0o640 if name == "shadow" else 0o644)


def _users() -> dict[str, str]:
    """The user databases of a container that uses this machine's programs."""
    shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
    host_users = Path("/etc/passwd").read_text(encoding="utf-8", errors="replace").splitlines()
    users = [line for line in host_users if line.split(":")[0] not in {"root", "sshd"}]
    users = [f"root:x:0:0:root:/root:{shell}", *users, _SSHD_USER]
    return {
        "passwd": "\n".join(users) + "\n",
        # No account has a password, and none is locked.
        "shadow": "".join(f"{line.split(':')[0]}:*:19000:0:99999:7:::\n" for line in users),
    }


def add_user(root: Path, entry: str, image: Path | None) -> None:
    """Add a user to the container's database.

    Args:
        root: where the container's files are prepared; `write_etc` was called.
        entry: the line for /etc/passwd.
        image: the image's root file system, if it has its own user databases.
    """
    file = root / "etc" / "passwd"
    users = (image / "etc" / "passwd" if image else file).read_text(encoding="utf-8")
    file.write_text(f"{entry}\n{users}", encoding="utf-8")
    file.chmod(0o644)


def own_entrypoint(program: str | None, *, bare: bool = False) -> tuple[str, ...]:
    """The ENTRYPOINT of the lab's own image: our entrypoint and a program.

    Args:
        program: path of a training program on this machine; None for the demo's.
        bare: without our entrypoint, as in an image that is not prepared for ssh.
    """
    name = f"{_PROGRAMS}/{Path(program).name}" if program else f"{HOME}/train_demo.sh"
    return *(() if bare else (_ENTRYPOINT,)), f"/{name}"


def starts_ours(entrypoint: Sequence[str]) -> bool:
    """Whether an ENTRYPOINT begins with our entrypoint."""
    return tuple(entrypoint[:1]) == (_ENTRYPOINT,)


def add_program(root: Path, program: str) -> None:
    """Copy a training program into the image."""
    target = root / _PROGRAMS / Path(program).name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(program, target)
    target.chmod(0o755)


def add_folder(root: Path, files: str) -> None:
    """Copy what a user's image has in `/opt`; `container_init` adds the rest.

    Args:
        root: where the container's files are prepared.
        files: a folder on this machine, with the files of the image.
    """
    if Path(files, "opt").is_dir():
        shutil.copytree(Path(files, "opt"), root / "opt", dirs_exist_ok=True, symlinks=True)
