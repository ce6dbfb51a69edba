"""The SSM agent in a container: `python -m sm_proxy_lab.machines.agent SPEC`.

SPEC is a JSON object, see `ContainerRunner.start_agent`. The agent connects to the gateway's unix
socket (SOCK_SEQPACKET) and enters the container's namespaces; it is started in the container's
network. Then it hands descriptors over: a socket of that network, which the gateway connects, the
master of a pty on which `sh` runs, or a connection to the ssh server of a Studio space
(`space_ssh.py`). The protocol of a session is the gateway's. The agent ends
with the container, or with the gateway.
"""

from __future__ import annotations

import array  # noqa: F401 - socket.send_fds imports it, and a container may have no Python
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sm_proxy_lab.machines import container_user, namespaces, reap

if TYPE_CHECKING:
    from sm_proxy_lab.machines.space_ssh import SpaceServer

MAX_MESSAGE = 1 << 16
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = {
    "uts": namespaces.CLONE_NEWUTS,
    "ipc": namespaces.CLONE_NEWIPC,
    "pid": namespaces.CLONE_NEWPID,
    "mnt": namespaces.CLONE_NEWNS,  # last: it covers /proc
}


def main() -> None:
    """Serve until the container or the gateway has ended."""
    spec: dict[str, Any] = json.loads(sys.argv[1])
    if spec.get("ssh"):
        # Loaded before it enters the container, which has no such packages.
        from sm_proxy_lab.machines import space_ssh  # noqa: F401, PLC0415
    if "fd" in spec:
        gateway = socket.socket(fileno=spec["fd"])
    else:
        gateway = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gateway.connect(spec["gateway"])
    launcher = spec.get("launcher")
    if launcher is not None:
        first = _first_process(launcher)
        if first is None:
            return
        _enter(first)
    child = os.fork()
    if child:
        _end_with(child)
    _serve(gateway, spec)


def _first_process(launcher: int) -> int | None:
    """Wait until the container's process 1 runs its entrypoint; None if it has ended before.

    Until then its mounts are not complete. The exec is visible in the command line.
    """
    unchanged = _command_line(launcher)
    while unchanged:
        for pid in reap.descendants(launcher)[:1]:
            if _command_line(pid) not in {b"", unchanged}:
                return pid
        time.sleep(0.01)
        unchanged = _command_line(launcher)
    return None


def _command_line(pid: int) -> bytes:
    """A process's command line; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _enter(pid: int) -> None:
    """Enter a process's root and namespaces; only our children are in its PID namespace."""
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY)
    handles = {name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY) for name in _NAMESPACES}
    for name, handle in handles.items():
        namespaces.setns(handle, _NAMESPACES[name])
        os.close(handle)
    os.fchdir(root)
    os.chroot(".")
    os.close(root)


def _end_with(child: int) -> NoReturn:
    """Wait for the agent; SIGTERM ends it, as switching RemoteDebug off does."""

    def stop(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    os.waitpid(child, 0)
    os._exit(0)


def _serve(gateway: socket.socket, spec: Mapping[str, Any]) -> NoReturn:
    environment = dict(spec["environment"])
    container_user.become(spec.get("user", ""), environment)
    namespaces.die_with_parent(os.getppid())
    if spec.get("launcher") is None:  # a plain process on this machine
        os.chdir(environment["HOME"])
    ssh = None
    if spec.get("ssh"):
        from sm_proxy_lab.machines.space_ssh import SpaceServer  # noqa: PLC0415

        ssh = SpaceServer(environment)
    else:
        # A shell that has ended is no zombie. The ssh server wants exit statuses.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    members = ("target", "addresses", "ports", "ssh")
    hello = {name: spec[name] for name in members if name in spec}
    gateway.send(json.dumps(hello).encode())
    with contextlib.suppress(ConnectionError):
        while request := gateway.recv(MAX_MESSAGE):
            _answer(gateway, json.loads(request), environment, ssh)
    os._exit(0)


def _answer(
    gateway: socket.socket,
    request: dict[str, Any],
    environment: dict[str, str],
    ssh: SpaceServer | None,
) -> None:
    answer: dict[str, Any] = {"id": request["id"]}
    handles: list[int] = []
    try:
        if request["op"] == "socket":
            handles.append(socket.socket(request["family"], socket.SOCK_STREAM).detach())
        elif request["op"] == "shell":
            answer["pid"], master = _shell(environment)
            handles.append(master)
        elif request["op"] == "ssh" and ssh is not None:
            handles.append(ssh.connect().detach())
        elif request["op"] == "kill":
            os.kill(request["pid"], signal.SIGKILL)
    except OSError as error:
        answer["error"] = os.strerror(error.errno or 0).lower()
    socket.send_fds(gateway, [json.dumps(answer).encode()], handles)
    for handle in handles:
        os.close(handle)


def _shell(environment: dict[str, str]) -> tuple[int, int]:
    """Start `sh` on a new pty, with the agent's environment; return its pid and the pty's master.

    The real agent in a container does not change the user, and sets TERM, and LANG if it is not set
    (agent/session/shell/shell_unix.go).
    """
    given = {"LANG": "C.UTF-8", **environment, "TERM": "xterm-256color"}
    pid, master = os.forkpty()
    if pid == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            os.execvpe("sh", ["sh"], given)  # noqa: S606
        os._exit(127)
    return pid, master


if __name__ == "__main__":
    main()
