"""Run a program in one of the lab's terminals: `terminal SOCKET NAME CMD...` (see `terminals/`).

The supervisor answers with the terminal's network namespace and with what a program finds there:
variables and files. The files are mounted in a mount namespace of this process.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, Final

from sm_proxy_lab.errors import report
from sm_proxy_lab.machines import namespaces

_FAILED: Final = 125
_TREE: Final = namespaces.MS_BIND | namespaces.MS_REC
_SAFE: Final = namespaces.MS_NOSUID | namespaces.MS_NODEV


def main() -> None:
    """Enter the terminal and become CMD."""
    path, name, *command = sys.argv[1:]
    if not command:
        report(f"no command given: put one after the terminal {name!r}")
        sys.exit(2)
    try:
        answer, netns = _ask(path, name)
        if "error" in answer:
            report(f"no terminal {name!r}: {answer['error']}")
            sys.exit(_FAILED)
        if netns is not None:
            _enter(netns, answer)
    except OSError as error:
        report(f"no terminal {name!r}: {error}")
        sys.exit(_FAILED)
    for variable in answer["unset"]:
        os.environ.pop(variable, None)
    os.environ.update(answer["set"])
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        report(f"{command[0]}: {'command not found' if missing else error.strerror}")
        sys.exit(127 if missing else 126)


def _ask(path: str, name: str) -> tuple[dict[str, Any], int | None]:
    """Return the supervisor's answer, and the descriptor of the network namespace if there is one.

    Raises:
        OSError: the lab has ended.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        connection.sendall(json.dumps({"terminal": name}).encode() + b"\n")
        line, fds, _, _ = socket.recv_fds(connection, 1 << 16, 1)
        while line and not line.endswith(b"\n") and (more := connection.recv(1 << 16)):
            line += more
    if not line.endswith(b"\n"):
        raise ConnectionAbortedError("the lab has ended")
    return json.loads(line), fds[0] if fds else None


def _enter(netns: int, answer: dict[str, Any]) -> None:
    namespaces.setns(netns, namespaces.CLONE_NEWNET)
    os.close(netns)
    namespaces.unshare(namespaces.CLONE_NEWNS)
    namespaces.make_mounts_private(keep_up=True)
    # /sys shows the interfaces of the namespace in which it was mounted.
    try:
        namespaces.mount("sysfs", "/sys", "sysfs", _SAFE | namespaces.MS_RDONLY)
    except OSError as error:
        if error.errno != errno.EBUSY:  # EBUSY: we are in this terminal already
            raise
    for folder, files in answer["files"].items():
        _show(Path(folder), files, Path(answer["stage"]))


def _show(folder: Path, files: dict[str, Any], stage: Path) -> None:
    """Show `files` in `folder`, beside what it has already.

    Args:
        folder: an existing directory.
        files: name -> text, or -> what to show in that directory.
        stage: an empty directory to build it in.
    """
    namespaces.mount("tmpfs", str(stage), "tmpfs", _SAFE, "mode=755")
    _fill(folder, stage, files)
    namespaces.mount(str(stage), str(folder), flags=_TREE)


def _fill(source: Path, target: Path, files: dict[str, Any]) -> None:
    for entry in source.iterdir() if source.is_dir() else ():
        new = target / entry.name
        if entry.name in files:
            continue
        if entry.is_symlink():
            new.symlink_to(entry.readlink())
            continue
        if entry.is_dir():
            new.mkdir()
        else:
            new.touch()
        namespaces.mount(str(entry), str(new), flags=_TREE)
    for name, content in files.items():
        if isinstance(content, str):
            (target / name).write_text(content, encoding="utf-8")
        else:
            (target / name).mkdir()
            _fill(source / name, target / name, content)


if __name__ == "__main__":
    main()
