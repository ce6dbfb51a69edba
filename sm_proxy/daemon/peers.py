"""Whether the process at the other end of a socket, and the socket's folder, are this user's.

The launcher and the daemon both ask, as ssh and ssh-agent do. The kernel tells a peer's user id, so
nobody can forge it. The folder is checked first: a stranger's socket could make the launcher wait.

One user may be in several places at once: containers that share a home folder, namespaces, a
chroot, a sandbox. A daemon elsewhere may open other files and dial other networks, so it must not
serve; and nobody may leave a sandbox through it.

The launcher imports this module: import nothing here that is not built in. `_socket` is what
`socket` is made of, which takes 7 ms to import.
"""

from __future__ import annotations

import _socket
import os
import stat
import sys
from _collections_abc import Iterator

_NAMESPACES = ("mnt", "net", "pid", "user")
"""The kinds of Linux namespaces that change what a file, an address or a process id means."""
_RIGHTS = ("Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp:")
"""The first words of the lines of /proc/PID/status (proc_pid_status(5)) with a process's rights."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_XUCRED = (0, 1, 76)
"""macOS: SOL_LOCAL, LOCAL_PEERCRED (sys/un.h), and the size of struct xucred (sys/ucred.h)."""


class StrangerError(OSError):
    """The other end may be another user's process, or this user's in another namespace."""


def refuse_foreign_folder(folder: str) -> None:
    """Refuse a folder that is not ours alone, or that another user could swap.

    Raises:
        StrangerError: it is no folder but a link, another user owns it, others may enter it, or a
            folder above it is open to everybody.
        OSError: it does not exist.
    """
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise StrangerError(f"{folder} is not a folder")
    if found.st_uid != os.geteuid():
        raise StrangerError(f"another user owns {folder}")
    if found.st_mode & _OTHERS:
        raise StrangerError(f"others may enter {folder}")
    for path in _above(folder):
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            if found.st_uid not in {0, os.geteuid()}:
                raise StrangerError(f"another user made the link {path}")
        elif found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise StrangerError(f"everybody may write to {path}")


def connect(path: str, within: float) -> _socket.socket:
    """Connect to the daemon's socket, and prove that it is this user's.

    Args:
        path: of the socket, absolute.
        within: seconds for the connection, and afterwards for each read and write on it. Linux does
            not wait for room in a full backlog.

    Raises:
        StrangerError: the folder, the socket or the process behind it may be another user's.
        OSError: there is no listener, the backlog is full, there are no descriptors left, ...
    """
    refuse_foreign_folder(os.path.dirname(path))
    before = _own_socket(path)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(within)
        connection.connect(path)
        refuse_foreign_user(connection)
        _refuse_replaced(path, before)
    except BaseException:
        connection.close()
        raise
    return connection


def refuse_foreign_user(connection: _socket.socket) -> int:
    """Refuse a peer of another user, and return the peer's process id; 0 on macOS.

    For a client, the peer is the process that listens; for a server, the one that connected.

    Raises:
        StrangerError: it is another user, or the kernel does not tell.
        OSError: the peer has gone.
    """
    pid, user = _credentials(connection)
    if user != os.geteuid():
        raise StrangerError(f"the process at the other end belongs to user {user}")
    return pid


def refuse_stranger(connection: _socket.socket) -> None:
    """Refuse a peer of another user, or in another place. For the daemon, of each connection.

    The launcher cannot check the daemon in this way: it may not read /proc of a process that cannot
    be dumped. It looks for a socket whose name has its own `place`.

    Raises:
        StrangerError: it is another user, in another namespace, or with other rights.
        OSError: the peer has gone.
    """
    pid = refuse_foreign_user(connection)
    if sys.platform == "linux" and _confinement(str(pid)) != _confinement("self"):
        raise StrangerError(f"process {pid} is in another namespace, or has other rights")


def place() -> str:
    """What this process and its daemon must have in common, for the name of the socket.

    It is the machine, its boot, the root folder, our groups, namespaces and rights, and how much
    processor time we may have: `nice` is for one command. The text is long.
    """
    root = os.stat("/")
    processors = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else ()
    parts = [
        *(os.uname().nodename, _line("/proc/sys/kernel/random/boot_id")),
        *(root.st_dev, root.st_ino, os.getegid(), sorted(os.getgroups()), _confinement("self")),
        *(os.getpriority(os.PRIO_PROCESS, 0), processors),
    ]
    return repr(parts)


def _credentials(connection: _socket.socket) -> tuple[int, int]:
    """Process id and effective user id of the peer."""
    if sys.platform == "darwin":
        version_uid = connection.getsockopt(*_XUCRED)[:8]
        if version_uid[:4] == bytes(4) and len(version_uid) == 8:  # XUCRED_VERSION
            return 0, _number(version_uid[4:])
    elif sys.platform == "linux":
        ucred = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        return _number(ucred[:4]), _number(ucred[4:8])
    raise StrangerError("this system does not tell whose process is at the other end")


def _number(word: bytes) -> int:
    return int.from_bytes(word, sys.byteorder)


def _own_socket(path: str) -> os.stat_result:
    """The state of a socket that only we may connect to."""
    found = os.lstat(path)
    if not stat.S_ISSOCK(found.st_mode):
        raise StrangerError(f"{path} is not a socket")
    if found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
        raise StrangerError(f"others may connect to {path}")
    return found


def _refuse_replaced(path: str, before: os.stat_result) -> None:
    if not os.path.samestat(before, _own_socket(path)):
        raise StrangerError(f"{path} was replaced while we connected")


def _above(folder: str) -> Iterator[str]:
    """The folders above, as written and with all links resolved."""
    for below in (os.path.abspath(folder), os.path.realpath(folder)):
        path = below
        while path != (path := os.path.dirname(path)):
            yield path


def _confinement(pid: str) -> list[str]:
    """Namespaces, rights, and the label of a security module (AppArmor, SELinux) of a process.

    It is empty on macOS, which has none of these.

    Raises:
        OSError: the process has ended, or is not visible here.
    """
    if sys.platform != "linux":
        return []
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        rights = [line for line in file if line.startswith(_RIGHTS)]
    spaces = [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in _NAMESPACES]
    return [*spaces, *rights, _line(f"/proc/{pid}/attr/current")]


def _line(path: str) -> str:
    """The text of a file of the kernel; empty where it has none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
