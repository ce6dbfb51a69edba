"""Makes an image the root file system of a container's mount namespace.

The image stays unchanged: a container's files are in memory and end with the container.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sm_proxy_lab.machines import namespaces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_FOLDERS = ("dev", "etc", "opt", "proc", "run", "sys", "tmp")
"""What an image from scratch may lack."""
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "self/fd", "stdin": "self/fd/0", "stdout": "self/fd/1", "stderr": "self/fd/2"}


def may_overlay() -> bool:
    """Try in a child whether an overlay in memory can be mounted."""

    def mount() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        namespaces.make_mounts_private()
        mount_overlay([Path("/usr")], Path(folder))

    with namespaces.probe_folder() as folder:
        return namespaces.succeeds(mount)


def enter(
    image: Sequence[Path],
    prepared: Path,
    files: str = "",
    hidden: Iterable[str] = (),
    mounts: Mapping[str, str] | None = None,
) -> None:
    """Make an overlay on `image` this process's root. Its mounts must be private already.

    Args:
        image: the image's layers, the uppermost first; they are never changed.
        prepared: the container's own files: `opt` is mounted, or only `opt/ml` where the image has
            layers of its own; `etc` is copied.
        files: a folder that is copied over the root, except for its `opt`; empty for none.
        hidden: paths to remove from the root.
        mounts: path of a folder in the root -> the folder to mount on it.

    Raises:
        OSError: a mount is not permitted.
    """
    layers = prepared / "layers"
    layers.mkdir()
    root = mount_overlay(image, layers)
    for name in hidden:
        _remove(root / name.lstrip("/"))
    for name in _FOLDERS:
        (root / name).mkdir(exist_ok=True)
    if files:
        ours = shutil.ignore_patterns("opt")
        shutil.copytree(files, root, dirs_exist_ok=True, symlinks=True, ignore=ours)
    flags = namespaces.MS_BIND | namespaces.MS_REC
    own = "opt" if len(image) == 1 else "opt/ml"
    (root / own).mkdir(exist_ok=True)
    namespaces.mount(str(prepared / own), str(root / own), flags=flags)
    for place, source in (mounts or {}).items():
        target = root / place.lstrip("/")
        target.mkdir(exist_ok=True)
        namespaces.mount(source, str(target), flags=flags)
    for file in (prepared / "etc").iterdir():
        shutil.copy(file, root / "etc" / file.name)
    mount_devices(root / "dev")
    mount_kernel_folders(root)
    lock = root / "run" / "lock"
    lock.mkdir(parents=True, exist_ok=True)
    lock.chmod(0o1777)
    os.chdir(root)
    with contextlib.suppress(OSError):  # fails if our own root is not a mount point
        namespaces.mount(".", "/", flags=namespaces.MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def mount_kernel_folders(root: Path) -> None:
    """Mount proc and, where that is permitted, sysfs below `root`."""
    flags = namespaces.MS_NOSUID | namespaces.MS_NODEV
    namespaces.mount("proc", str(root / "proc"), "proc", flags)
    with contextlib.suppress(OSError):
        namespaces.mount("sysfs", str(root / "sys"), "sysfs", flags | namespaces.MS_RDONLY)


def mount_overlay(lowers: Sequence[Path], folder: Path) -> Path:
    """Mount an overlay whose upper layer is in memory, `upper` in `folder`; return its path.

    Args:
        lowers: the layers below, the uppermost first.
        folder: an empty folder.
    """
    _mount_memory(folder, "mode=755")
    upper, work, root = (folder / name for name in ("upper", "work", "root"))
    for layer in (upper, work, root):
        layer.mkdir(mode=0o755)
    below = ":".join(map(str, lowers))
    data = f"lowerdir={below},upperdir={upper},workdir={work}"
    namespaces.mount("overlay", str(root), "overlay", 0, data)
    return root


def mount_lowers(lowers: Sequence[Path], target: Path) -> Path:
    """Mount two or more layers as one read-only tree; return `target`."""
    target.mkdir()
    below = ":".join(map(str, lowers))
    namespaces.mount("overlay", str(target), "overlay", namespaces.MS_RDONLY, f"lowerdir={below}")
    return target


def _mount_memory(folder: Path, options: str) -> None:
    namespaces.mount("tmpfs", str(folder), "tmpfs", namespaces.MS_NOSUID, options)


def mount_devices(dev: Path) -> None:
    """Make the devices that every container engine provides."""
    _mount_memory(dev, "mode=755")
    for name in _DEVICES:
        (dev / name).touch()
        namespaces.mount(f"/dev/{name}", str(dev / name), flags=namespaces.MS_BIND)
    for name, target in _LINKS.items():
        (dev / name).symlink_to(f"/proc/{target}")
    (dev / "shm").mkdir()
    _mount_memory(dev / "shm", "mode=1777")
    (dev / "pts").mkdir()
    options = "newinstance,ptmxmode=0666,mode=620,gid=5"
    namespaces.mount("devpts", str(dev / "pts"), "devpts", namespaces.MS_NOSUID, options)
    (dev / "ptmx").symlink_to("pts/ptmx")
