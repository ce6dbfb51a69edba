"""RUN: a command in the image, without a network."""

from __future__ import annotations

import os
import posixpath
import signal
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from sm_proxy_lab.image_build import packages
from sm_proxy_lab.image_build.paths import inside
from sm_proxy_lab.machines import container_user, image_root, namespaces

_ISOLATED = namespaces.CONTAINER | namespaces.CLONE_NEWNET
_MOUNT_POINTS = ("proc", "sys", "dev")


@dataclass(frozen=True)
class Program:
    """What to run.

    Attributes:
        argv: the program and its arguments.
        environment: its variables.
        user: the USER; empty for root.
        folder: the WORKDIR.
    """

    argv: tuple[str, ...]
    environment: dict[str, str]
    user: str
    folder: str


def run(root: Path, program: Program, stand_ins: Path, show: Callable[[bytes], None]) -> int:
    """Run a program in the tree `root`; return its exit status, 128+n if the signal n ended it.

    Args:
        root: the tree, in a mount namespace of this process's own.
        program: what to run.
        stand_ins: a folder with the programs that stand in for package managers.
        show: gets the output.
    """
    covers = _place(root, stand_ins)
    for name in _MOUNT_POINTS:
        (root / name).mkdir(exist_ok=True)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _launch(root, program, covers, writing)
    os.close(writing)
    while data := os.read(reading, 1 << 16):
        show(data)
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for place in covers:
        if place.is_file() and place.stat().st_size == 0:
            place.unlink()
    return status if status >= 0 else 128 - status


def _place(root: Path, stand_ins: Path) -> dict[Path, Path]:
    """Make empty files for the stand-ins to cover, where the image has no such program."""
    folder = inside(root, "/usr/bin")
    if not folder.is_dir() or not inside(root, "/bin/sh").exists():
        return {}
    covers = {}
    for source in packages.write(stand_ins):
        place = folder / source.name
        if not os.path.lexists(place):
            place.touch(mode=0o755)
            covers[place] = source
    return covers


def _launch(root: Path, program: Program, covers: dict[Path, Path], output: int) -> NoReturn:
    """Wait outside for process 1 of the new namespaces, and end as it does."""
    try:
        namespaces.die_with_parent(os.getppid())
        namespaces.unshare(_ISOLATED)
        child = os.fork()
        if child == 0:
            _become(root, program, covers, output)
        os.close(output)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os._exit(status if status >= 0 else 128 - status)
    except OSError as error:
        sys.stderr.write(f"lab: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(125)


def _become(root: Path, program: Program, covers: dict[Path, Path], output: int) -> NoReturn:
    name = program.argv[0]
    try:
        namespaces.die_with_parent(0)  # the parent is outside of this PID namespace
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.setsid()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        namespaces.make_mounts_private()
        namespaces.sethostname("buildkitsandbox")
        image_root.mount_devices(root / "dev")
        image_root.mount_kernel_folders(root)
        for place, source_file in covers.items():
            namespaces.mount(str(source_file), str(place), flags=namespaces.MS_BIND)
        os.chroot(root)
        os.chdir("/")
        os.chdir(program.folder)
        environment = {"HOME": "/root", **program.environment}
        container_user.become(program.user, environment)
        os.execve(_find(name, environment), program.argv, environment)  # noqa: S606
    except OSError as error:
        os.write(2, f"exec: {name!r}: {error}\n".encode())
    finally:
        os._exit(127)


def _find(name: str, environment: dict[str, str]) -> str:
    """The path of a program, in the image.

    Raises:
        OSError: there is none.
    """
    if "/" in name:
        return name
    for folder in environment.get("PATH", "").split(":"):
        path = posixpath.join(folder, name)
        if Path(path).is_file() and Path(path).stat().st_mode & stat.S_IXUSR:
            return path
    raise FileNotFoundError("executable file not found in $PATH")
