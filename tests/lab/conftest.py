"""Fixtures that run labs as a user does: start a process, wait for its exit status."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sm_proxy_lab.machines import debian, namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

ISOLATED = os.geteuid() == 0 and namespaces.may_isolate(
    namespaces.CLONE_NEWNS | namespaces.CLONE_NEWPID | namespaces.CLONE_NEWNET
)
needs_root = pytest.mark.skipif(not ISOLATED, reason="needs root")
needs_debian = pytest.mark.skipif(
    not (ISOLATED and debian.available()), reason="needs root and apt-get"
)
NETWORKS = ["netns", "loopback"] if ISOLATED else ["loopback"]
_PROGRAM = """
import argparse, sys
from sm_proxy_lab import run
parser = argparse.ArgumentParser()
if sys.argv[1] == "run":
    run.add_arguments(parser)
else:
    run.add_up_arguments(parser)
args = parser.parse_args(sys.argv[2:])
sys.exit(run.main(args) if sys.argv[1] == "run" else run.up(args))
"""


_SLOW = """
import os, time
import sm_proxy_lab.MODULE as module
fork = os.fork
def slow():
    child = fork()
    if child:
        time.sleep(0.5)
    return child
os.fork = slow
module.main()
"""


def slow_behind_fork(module: str) -> str:
    """A program that runs a module of the lab; its fork() returns late, as under load."""
    return _SLOW.replace("MODULE", module)


@dataclass
class Runner:
    """Starts labs whose temporary files are below `folder`; `before` precedes each command."""

    folder: Path
    before: list[str] = field(default_factory=list)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str, what: str = "run", **options: object) -> subprocess.Popen[str]:
        if "--network" not in words:  # an explicit mode is not reported on stderr
            words = ("--network", NETWORKS[0], *words)
        process: subprocess.Popen[str] = subprocess.Popen(
            [*self.before, sys.executable, "-c", _PROGRAM, what, *words],
            env={**os.environ, "TMPDIR": str(self.folder), "AWS_PROFILE": "not-to-be-used"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,  # type: ignore[call-overload]
        )
        self.started.append(process)
        return process

    def run(self, *words: str) -> tuple[int, str, str]:
        """Run a lab to its end; return exit status, stdout and stderr."""
        process = self.start(*words)
        output, errors = process.communicate(timeout=240)
        return process.returncode, output, errors

    def left(self) -> list[str]:
        """The names of temporary folders that still exist."""
        return [entry.name for entry in self.folder.iterdir()]


_OWN_ETC = """
cp -a /etc/. "$0" && mount --bind "$0" /etc || exit 99
test -z "$1" || sed -i "s|^\\([^:]*:[^:]*:$(id -u):[^:]*:[^:]*\\):[^:]*|\\1:$1|" /etc/passwd
export HOME="${1:-$HOME}"; shift; exec "$@"
"""


def with_own_etc(folder: Path, home: Path | None = None) -> list[str]:
    """Words before a command that give it a copy of /etc in `folder` and, there, another home."""
    folder.mkdir()
    return ["unshare", "--mount", "sh", "-c", _OWN_ETC, str(folder), str(home or "")]


@pytest.fixture
def lab() -> Iterator[Runner]:
    # pytest's own folders are too long for the lab's unix sockets: it would make its folder
    # in /tmp, where no test looks for what is left.
    with tempfile.TemporaryDirectory(prefix="lab-", dir="/tmp") as folder:
        runner = Runner(Path(folder))
        yield runner
        for process in runner.started:
            process.kill()
            process.communicate()


@pytest.fixture(params=NETWORKS)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)
