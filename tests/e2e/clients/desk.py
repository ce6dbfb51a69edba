"""Where a client is run: a user's machine whose ssh config has sm-proxy's block."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.labs import Lab
from tests.e2e.roads import FREE_PORT


@dataclass(frozen=True)
class Desk:
    """A user's machine, and a folder in the container for one client.

    Attributes:
        lab: a lab with a job of two nodes.
        folder: an empty folder of this machine, in which programs run.
        there: the path of an empty folder in the container.
        modules: where `npm ci` has put the packages of `node/`, if it has.
    """

    lab: Lab
    folder: Path
    there: str
    modules: Path | None = None
    _environment: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The host name of the job's first node."""
        return self.lab.host

    @property
    def ssh_folder(self) -> Path:
        """What `~/.ssh` is for a user."""
        return Path(self.lab.config).parent

    @property
    def known_hosts(self) -> Path:
        """The file with the first node's host keys."""
        return self.ssh_folder / "sm-proxy" / "known_hosts.d" / self.host

    @property
    def key(self) -> Path:
        """The private key that ssh offers."""
        return self.ssh_folder / "sm-proxy" / "id_ed25519"

    def start(self, *words: str, **options: Any) -> tuple[int, str]:
        """Run a program to its end; its status, and what it has printed on stdout and stderr."""
        environment = {**self._environment, **options.pop("env", {})}
        done = self.lab.run(*words, cwd=self.folder, env=environment, **options)
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    def run(self, *words: str, **options: Any) -> str:
        """Run a program that must succeed; what it has printed."""
        status, said = self.start(*words, **options)
        assert status == 0, f"{shlex.join(words)} ended with {status}: {said}"
        return said

    def shell(self, script: str, **options: Any) -> str:
        """Run a line as a user types it into bash; it must succeed."""
        return self.run("bash", "-o", "pipefail", "-c", script, **options)

    @property
    def ssh_program(self) -> str:
        """The path of an `ssh` that reads the lab's config, for who does not look at PATH."""
        return str(shutil.which("ssh", path=self.lab.environment["PATH"]))

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program; the caller ends it."""
        environment = {**self._environment, **options.pop("env", {})}
        return self.lab.popen(*words, cwd=self.folder, env=environment, **options)

    def free_port(self) -> int:
        """A port of this machine on which nothing listens."""
        return int(self.lab.python(FREE_PORT))

    def sshd_port(self) -> int:
        """The port of the container's own SSH server."""
        return int(self.inside("echo ${SSH_CONNECTION##* }"))

    def inside(self, script: str) -> str:
        """Run a script in the container by the lab's own ssh; what it has printed on stdout."""
        return self.lab.ok(self.host, f"cd {self.there} && {script}").decode().strip()

    def write(self, name: str, content: bytes) -> Path:
        """Write a file in `folder`."""
        path = self.folder / name
        path.write_bytes(content)
        return path


@contextlib.contextmanager
def opened(lab: Lab, folder: Path, modules: Path | None = None) -> Iterator[Desk]:
    """A desk; its folder in the container is removed at the end.

    Args:
        lab: a lab with a job of two nodes.
        folder: an empty folder with a short path: it gets a home, which has sockets.
        modules: see `Desk`.
    """
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    (home / ".ssh").symlink_to(Path(lab.config).parent)
    there = lab.ok(lab.host, "mktemp -d").decode().strip()
    path = f"{lab.environment['PATH']}{os.pathsep}{Path(sys.executable).parent}"
    git = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    environment = {**git, "HOME": str(home), "PATH": path}
    try:
        yield Desk(lab, work, there, modules, environment)
    finally:
        lab.ok(lab.host, f"rm -rf {there}")
