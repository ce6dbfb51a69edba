"""Linux calls for namespaces, mounts and the end of processes. All raise OSError if they fail.

Python has `os.unshare` and `os.setns` only from 3.12 on, so we call the C library. Our namespaces
have no name: each lives as long as a process or an open descriptor refers to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000
CONTAINER = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC
"""The namespaces of a container, besides its network."""

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
MS_SLAVE = 0x8_0000

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces of the kinds in `flags`."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into the namespace behind `fd`."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount `source`, of the file system `kind`, on `target`."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _check(result, f"mount {target}")


def sethostname(name: str) -> None:
    """Set the hostname of the calling process's UTS namespace."""
    raw = name.encode()
    _check(_libc.sethostname(raw, ctypes.c_size_t(len(raw))), "sethostname")


def become_subreaper() -> None:
    """Adopt every descendant whose parent ends, instead of the system's init."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Let the kernel send us the signal `number` when the thread that started us ends.

    Args:
        parent: our parent's pid; if that process has already ended, we exit with status 125.
        number: the signal.
    """
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(125)


def current_netns() -> int:
    """Open the calling thread's network namespace; the descriptor is not inheritable."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def entered(netns: int) -> Iterator[None]:
    """Run the body, on this thread only, inside the network namespace `netns`.

    Processes started and sockets made in the body belong to that namespace.
    """
    home = current_netns()
    try:
        setns(netns, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def new_netns() -> int:
    """Make an empty network namespace that lives as long as the returned descriptor."""
    home = current_netns()
    try:
        unshare(CLONE_NEWNET)
        try:
            return current_netns()
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def make_mounts_private(*, keep_up: bool = False) -> None:
    """In a new mount namespace, keep our mounts invisible outside.

    With `keep_up`, later mounts of the host still appear inside.

    In a chroot, `/` is not a mount point, and the kernel refuses (EINVAL). Then we enter our own
    namespace again, which leads to its real root, make the call there and return to the chroot and
    to the working folder.
    """
    flags = MS_REC | (MS_SLAVE if keep_up else MS_PRIVATE)
    try:
        mount("none", "/", flags=flags)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        home, here = (os.open(name, os.O_RDONLY | os.O_DIRECTORY) for name in ("/", "."))
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        setns(own, CLONE_NEWNS)
        mount("none", "/", flags=flags)
        os.fchdir(home)
        os.chroot(".")
        os.fchdir(here)
        for descriptor in (own, here, home):
            os.close(descriptor)


def succeeds(action: Callable[[], None]) -> bool:
    """Whether a child process can do `action`."""
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(OSError):
            action()
            status = 0
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@contextlib.contextmanager
def probe_folder() -> Iterator[str]:
    """An empty folder for a moment. A signal that ends the lab waits, else it might be left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        with tempfile.TemporaryDirectory(prefix="sm-proxy-probe-") as folder:
            yield folder
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def mounts_stay_inside() -> bool:
    """Try whether a mount in a new namespace stays invisible outside."""
    with probe_folder() as folder:

        def mount_inside() -> None:
            unshare(CLONE_NEWNS)
            make_mounts_private()
            mount("tmpfs", folder, "tmpfs")

        possible = succeeds(mount_inside)
        leaked = Path(folder).stat().st_dev != Path(folder).parent.stat().st_dev
        if leaked:
            _check(_libc.umount2(folder.encode(), 2), f"umount {folder}")
        return possible and not leaked


def may_isolate(flags: int) -> bool:
    """Try in a child process whether we may make namespaces of these kinds."""

    def isolate() -> None:
        unshare(flags)
        if flags & CLONE_NEWNS:
            make_mounts_private()

    return succeeds(isolate) and (not flags & CLONE_NEWNS or mounts_stay_inside())


def write_sysctl(name: str, value: str) -> None:
    """Write a `/proc/sys` entry of the calling thread's namespace."""
    Path("/proc/sys", *name.split(".")).write_text(value, encoding="ascii")
