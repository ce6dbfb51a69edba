"""What a row of the table in docs/editors.md is made of."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.clients.desk import Desk

WORKS = "works"


@dataclass(frozen=True)
class Client:
    """A program, or a library, that connects by ssh.

    Attributes:
        name: what people call it.
        what: what `try_it` does with it, for readers.
        try_it: does it; raises if the container does not have, or give, what it should.
        version: the command that prints its version, or of a Node package `npm:NAME`.
        result: WORKS, what a user must do first, or why it cannot work; `try_it` has to agree.
        needs: what it uses in the container: programs, or `sftp` for an SFTP server.
        package: the Debian package, for a message; empty if script/setup.sh installs it.
    """

    name: str
    what: str
    try_it: Callable[[Desk], None]
    version: tuple[str, ...]
    result: str = WORKS
    needs: tuple[str, ...] = ()
    package: str = ""

    @property
    def is_of_node(self) -> bool:
        """Whether it is a package for Node."""
        return self.version[0].startswith("npm:")

    def found(self, modules: Path | None) -> str:
        """Its version; empty if it is not installed.

        Args:
            modules: the folder node_modules, if there is one.
        """
        if self.is_of_node:
            if modules is None:
                return ""
            text = (modules / self.version[0].partition(":")[2] / "package.json").read_text()
            return _first_number(text.partition('"version"')[2])
        program, *words = self.version
        path = shutil.which(program) or shutil.which(program, path=Path(sys.executable).parent)
        if path is None:
            return ""
        done = subprocess.run(
            [path, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return _first_number(done.stdout + done.stderr)


@dataclass(frozen=True)
class NotRun:
    """A client that cannot run here.

    Attributes:
        name: what people call it.
        instead: which part of what it does a test has done.
    """

    name: str
    instead: str


def _first_number(text: str) -> str:
    found = re.search(r"\d+(?:\.\w+)+", text)
    return found[0] if found else ""
