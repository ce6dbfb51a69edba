"""Run one container: `python -m sm_proxy_lab.machines.container_init SPEC.json`.

This process, the launcher, stays outside and waits. Its child becomes process 1 of the container,
then the job's entrypoint. Where namespaces are not permitted, the child is an ordinary process in
its own folder, and at its end the launcher kills its descendants.

The launcher passes SIGTERM on to the container, as `docker stop` does. SIGUSR1 kills the container.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from sm_proxy_lab.machines import container_user, image_root, namespaces, reap

_TREE = namespaces.MS_BIND | namespaces.MS_REC
_READ_ONLY = namespaces.MS_BIND | namespaces.MS_REMOUNT | namespaces.MS_RDONLY
_PRIVATE_FOLDERS = ("/root", "/run", "/var/tmp", "/dev/shm", "/etc/ssh", "/tmp")  # noqa: S108


def main() -> None:
    """Launch the container; exit with its status, or 128+n if the signal n ended it."""
    spec: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # Hold signals back until there is a container to pass them on to.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    if spec["netns"] is not None:
        namespaces.setns(spec["netns"], namespaces.CLONE_NEWNET)
        os.close(spec["netns"])
    if spec["isolated"]:
        namespaces.unshare(namespaces.CONTAINER)
    else:
        namespaces.become_subreaper()
    alive, keep_alive = os.pipe()
    child = os.fork()
    if child == 0:
        # Without a handler, process 1 of a namespace ignores SIGTERM. Exec removes the handler.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(keep_alive)
        _become_container(spec, alive)
    os.close(alive)
    _pass_signals_on(child)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os._exit(_wait_for(child))


def _pass_signals_on(child: int) -> None:
    def stop(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    def kill(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGUSR1, kill)


def _wait_for(child: int) -> int:
    # In a PID namespace, the kernel ends all processes when process 1 ends.
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    reap.kill_descendants()
    return status if status >= 0 else 128 - status


def _become_container(spec: dict[str, Any], alive: int) -> None:
    namespaces.die_with_parent(os.getppid())
    _end_if_orphan(alive)
    os.setsid()
    try:
        if spec["isolated"]:
            _build_machine(spec)
            _enter_folder(spec.get("folder") or "/")
            container_user.become(spec.get("user", ""), spec["environment"])
        else:
            os.chdir(spec["root"])
        os.execvpe(spec["argv"][0], spec["argv"], spec["environment"])  # noqa: S606
    except OSError as error:
        # A container engine prints a similar line if the entrypoint does not exist.
        sys.stderr.write(f"exec {spec['argv'][0]}: {error}\n")
        sys.stderr.flush()
        os._exit(127)


def _end_if_orphan(alive: int) -> None:
    """Exit if the launcher ended between the fork and the request for a parent-death signal."""
    os.set_blocking(alive, False)
    with contextlib.suppress(BlockingIOError):
        os.read(alive, 1)  # end of file: the launcher has ended
        os._exit(125)
    os.close(alive)


def _build_machine(spec: dict[str, Any]) -> None:
    """Mount the container's file systems."""
    root = Path(spec["root"])
    namespaces.make_mounts_private()
    namespaces.sethostname(spec["hostname"])
    if spec.get("image"):
        layers = [*map(Path, reversed(spec.get("layers", ()))), Path(spec["image"])]
        hidden, binds = spec.get("hidden", ()), spec.get("mounts", {})
        image_root.enter(layers, root, spec.get("files", ""), hidden, binds)
    else:
        _cover_host(root, spec)
    for folder in spec.get("read_only", ()):
        namespaces.mount(folder, folder, flags=namespaces.MS_BIND)
        namespaces.mount("none", folder, flags=_READ_ONLY)


def _enter_folder(name: str) -> None:
    """Make the image's WORKDIR the working directory; container engines create it."""
    Path(name).mkdir(parents=True, exist_ok=True)
    os.chdir(name)


def _cover_host(root: Path, spec: dict[str, Any]) -> None:
    """Use this machine's file system, and cover what a container has for itself."""
    _mount_opt(root / "opt", spec)
    _mount_etc(root / "etc")
    _mount_profile()
    for place, source in spec.get("mounts", {}).items():
        namespaces.mount(source, place, flags=_TREE)
    for folder in _PRIVATE_FOLDERS:
        if Path(folder).is_dir():
            mode = "1777" if folder.endswith(("tmp", "shm")) else "755"
            namespaces.mount("tmpfs", folder, "tmpfs", namespaces.MS_NOSUID, f"mode={mode}")
    Path("/root").chmod(0o700)
    Path("/run/lock").mkdir(mode=0o1777)
    image_root.mount_kernel_folders(Path("/"))
    with contextlib.suppress(OSError):
        options = "newinstance,ptmxmode=0666,mode=620,gid=5"
        namespaces.mount("devpts", "/dev/pts", "devpts", namespaces.MS_NOSUID, options)
        namespaces.mount("/dev/pts/ptmx", "/dev/ptmx", flags=namespaces.MS_BIND)
    for name in spec.get("hidden", ()):
        if Path(name).is_file():  # what covers it is no program and no regular file
            namespaces.mount("/dev/null", name, flags=namespaces.MS_BIND)


def _mount_opt(prepared: Path, spec: dict[str, Any]) -> None:
    """Mount the prepared `/opt`: /opt/ml, the image's files, and the folders of the host's /opt."""
    _show_folders(Path("/opt"), prepared)
    for name, source in spec["binds"].items():
        target = prepared / name
        target.mkdir(exist_ok=True)
        namespaces.mount(source, str(target), flags=namespaces.MS_BIND)
    namespaces.mount(str(prepared), "/opt", flags=_TREE)


def _mount_etc(prepared: Path) -> None:
    """Mount the prepared `/etc`, with copies of the host's other files.

    Not bind mounts: when the host replaces a file (useradd renames a new one over /etc/passwd), the
    kernel removes the mounts on that file in all namespaces.
    """
    for entry in Path("/etc").iterdir():
        if entry.is_symlink() or entry.is_file():
            _copy(entry, prepared / entry.name)
    _show_folders(Path("/etc"), prepared)
    namespaces.mount(str(prepared), "/etc", flags=_TREE)


def _copy(source: Path, target: Path) -> None:
    """Copy a file with owner and mode, or a symlink as such, unless the target exists."""
    with contextlib.suppress(OSError):  # it was just removed
        if os.path.lexists(target):
            return
        status = source.lstat()
        shutil.copy2(source, target, follow_symlinks=False)
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)


def _show_folders(theirs: Path, prepared: Path) -> None:
    """Bind-mount the folders of `theirs` below `prepared`, except those that exist there."""
    for entry in theirs.iterdir():
        target = prepared / entry.name
        if entry.is_dir() and not entry.is_symlink() and not target.exists():
            target.mkdir()
            namespaces.mount(str(entry), str(target), flags=_TREE)


def _mount_profile() -> None:
    """Give the container a writable `/etc/profile.d`."""
    folder = Path("/etc/profile.d")
    if not folder.is_dir():
        return
    files = [(file.name, file.read_bytes()) for file in folder.iterdir() if file.is_file()]
    namespaces.mount("tmpfs", str(folder), "tmpfs", namespaces.MS_NOSUID, "mode=755")
    for name, content in files:
        (folder / name).write_bytes(content)
        shutil.copymode("/etc/passwd", folder / name)


if __name__ == "__main__":
    main()
