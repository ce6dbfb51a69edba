"""Our own ssh file: how it is included, which program it starts, which options it records."""

from __future__ import annotations

import functools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import sm_proxy
from sm_proxy.local import python_environment
from sm_proxy.settings import Settings, contexts
from sm_proxy.settings.schema import RECORDED
from sm_proxy.ssh_config import quoting


def include_line(own: Path) -> str:
    """The Include line for our file, with a tilde if it is in the home folder of passwd."""
    return quoting.include(own)


def own_program() -> list[str]:
    """The command that starts this program, by absolute path, in any environment.

    `-I` ignores the variables and folders of other Pythons. It also ignores a user's own
    site-packages (`pip install --user`): there, and in a folder that is not installed, the command
    names the package by its path. A PEX file or zipapp is named itself.
    """
    if archive := python_environment.archive():
        # The Python of a PEX may be one that it has made in its cache.
        return [getattr(sys, "_base_executable", sys.executable), "-I", archive]
    return list(_own_program(sys.executable))


@functools.cache
def _own_program(python: str) -> tuple[str, ...]:
    package = Path(sm_proxy.__file__).parent
    probe = "import sys, sm_proxy; sys.stdout.write(sm_proxy.__file__)"
    command = [python, "-I", "-c", probe]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        found = Path(done.stdout).parent if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired):
        found = None
    if found is not None and found.resolve() == package.resolve():
        return (python, "-I", "-m", "sm_proxy")
    return (python, "-I", str(package / "__main__.py"))


def recorded_options(settings: Settings) -> dict[str, object]:
    """The options to record for these settings: those that are not at their default."""
    named = replace(settings, profile=settings.named_profile)
    options = contexts.with_absolute_paths({name: getattr(named, name) for name in RECORDED})
    return {name: value for name, value in options.items() if value != getattr(Settings, name)}
