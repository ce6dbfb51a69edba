"""Runs `sm-proxy cp` in a lab, and compares what it has copied."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.labs import SM_PROXY, Lab
from tests.waits import await_true

MIB = 1 << 20
SESSIONS = "--sessions"


def cp(lab: Lab, *words: str, status: int = 0, **options: Any) -> dict[str, Any]:
    """Run `cp`, which must end with this status; return what `--json` shows."""
    done = run(lab, *words, **options)
    assert done.returncode == status, (done.stdout.decode(), done.stderr.decode())
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def run(lab: Lab, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run `cp` to its end, without the cost of its start."""
    timeout = {"timeout": 120, **options}
    done = lab.warm(*command(*words)[len(SM_PROXY) :], **timeout)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def command(*words: str) -> list[str]:
    """The command line of a copy over ssh that shows its outcome as JSON."""
    sessions = [] if SESSIONS in words else [SESSIONS, "1"]  # each costs an ssh
    return [*SM_PROXY, "cp", "--json", "--via", "ssh", *sessions, *words]


def folder_there(lab: Lab, host: str = "") -> str:
    """A new folder in the container."""
    return lab.ok(host or lab.host, "mktemp -d").decode().strip()


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[bytes, tuple[str, int, int, str]]:
    """Everything below a folder: path -> kind, permission bits, time of modification, SHA-256."""
    top = os.fsencode(folder)
    found = {}
    for path, folders, files in os.walk(top, followlinks=True):
        for name in (*folders, *files):
            each = os.path.join(path, name)  # noqa: PTH118 - bytes
            state = os.stat(each)  # noqa: PTH116 - bytes
            is_file = name in files
            times = (state.st_mode & 0o7777, int(state.st_mtime))
            found[os.path.relpath(each, top)] = (
                ("file", *times, _digest(each)) if is_file else ("folder", *times, "")
            )
    return found


def _digest(path: bytes) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 - bytes
        return hashlib.sha256(file.read()).hexdigest()


def leaves_nothing(lab: Lab) -> None:
    """Wait until no ssh and no session of the lab is left."""
    await_true(lambda: not lab.sessions(), 60, lab.sessions)
    await_true(lambda: not ssh_processes(lab), 20, lambda: ssh_processes(lab))


def ssh_processes(lab: Lab) -> list[str]:
    """The command lines of the ssh processes that run with this lab's environment."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            mine = str(lab.state).encode() in (process / "environ").read_bytes()
        except OSError:
            continue
        if mine and Path(os.fsdecode(words[0])).name == "ssh":
            found.append(b" ".join(words).decode(errors="replace"))
    return found


def moved(lab: Lab) -> int:
    """How many bytes have gone through the laptop's network: its gateway is on the loopback."""
    lines = lab.run("cat", "/proc/self/net/dev").stdout.decode().splitlines()[2:]
    return sum(int(line.partition(":")[2].split()[0]) for line in lines)
