"""Makes CMD's `ssh`, `scp` and `sftp` use the lab's ssh config.

OpenSSH finds `~/.ssh/config` through the passwd database, so no variable can point it elsewhere.
Instead, PATH begins with a folder that has a script for each program; rsync and git find it there.
Where mounts are permitted, the script is also mounted over the system's program, because scp and
sftp start /usr/bin/ssh by its path.

The folder has `sm-proxy` too: whoever starts the lab as `.venv/bin/sm-proxy` has none on PATH, or
another one.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from pathlib import Path

from sm_proxy_lab.machines import namespaces
from sm_proxy_lab.python import python_module

_NAMES = ("ssh", "scp", "sftp")
_SYSTEM = "/usr/bin:/bin:/usr/local/bin"
# ssh uses the last of several -F options, so the caller's own -F wins.
_SCRIPT = """#!/bin/sh
# Inside sm-proxy's lab, the lab's ssh config is the user's.
config={config}
test -f "$config" || config=none
exec {program} -F "$config" "$@"
"""


def write(folder: Path, config: str, path: str) -> str:
    """Write the scripts; return a PATH on which they come first.

    Args:
        folder: the lab's folder.
        config: the lab's ssh config.
        path: the caller's PATH.
    """
    programs = folder / "bin"
    for name in _NAMES:
        if found := shutil.which(name, path=path):
            _write_ssh_script(programs / name, str(Path(found).absolute()), config)
    own = shlex.join(python_module("sm_proxy"))
    write_script(programs / "sm-proxy", f'#!/bin/sh\nexec {own} "$@"\n')
    return f"{programs}{os.pathsep}{path}"


def prepare_covers(folder: Path, config: str) -> None:
    """Write the scripts that `cover` mounts; without them `cover` does nothing."""
    (folder / "system").mkdir()
    for name in _NAMES:
        if shutil.which(name, path=_SYSTEM):
            own = folder / "system" / name
            own.touch()
            _write_ssh_script(folder / "covers" / name, str(own), config)


def cover(folder: Path) -> None:
    """Enter a new mount namespace, and mount the scripts over the system's programs there."""
    if not (folder / "covers").is_dir():
        return
    with contextlib.suppress(OSError):  # then CMD finds our scripts through PATH only
        namespaces.unshare(namespaces.CLONE_NEWNS)
        namespaces.make_mounts_private(keep_up=True)
        for script in (folder / "covers").iterdir():
            program = os.path.realpath(shutil.which(script.name, path=_SYSTEM) or script)
            own = str(folder / "system" / script.name)
            namespaces.mount(program, own, flags=namespaces.MS_BIND)
            namespaces.mount(str(script), program, flags=namespaces.MS_BIND)


def _write_ssh_script(file: Path, program: str, config: str) -> None:
    write_script(file, _SCRIPT.format(config=shlex.quote(config), program=shlex.quote(program)))


def write_script(file: Path, text: str) -> None:
    """Write an executable file."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)
