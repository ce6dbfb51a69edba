"""`ssh`, `scp` and `sftp` as CMD finds them: with the lab's config, unless it names another.

OpenSSH takes the home folder from the passwd database, and no variable changes that. So a script
of each name comes first on PATH, where rsync, git and others find it; and where mounts are
permitted, CMD sees it in place of the system's own program too, which scp and sftp start.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from pathlib import Path

from sm_proxy_lab.machines import namespaces

_NAMES = ("ssh", "scp", "sftp")
_SYSTEM = "/usr/bin:/bin:/usr/local/bin"
# Of several -F the last one counts: the caller's own.
_SCRIPT = """#!/bin/sh
# Inside sm-proxy's lab, the lab's ssh config is the user's.
config={config}
test -f "$config" || config=none
exec {program} -F "$config" "$@"
"""


def write(folder: Path, config: str, path: str) -> str:
    """Write the scripts; return the PATH on which they come first.

    Args:
        folder: the lab's.
        config: the lab's ssh config.
        path: the caller's PATH.
    """
    programs = folder / "bin"
    for name in _NAMES:
        if found := shutil.which(name, path=path):
            _write_script(programs / name, str(Path(found).absolute()), config)
    return f"{programs}{os.pathsep}{path}"


def prepare_covers(folder: Path, config: str) -> None:
    """Write what `cover` mounts: there is no covering without it."""
    (folder / "system").mkdir()
    for name in _NAMES:
        if shutil.which(name, path=_SYSTEM):
            own = folder / "system" / name
            own.touch()
            _write_script(folder / "covers" / name, str(own), config)


def cover(folder: Path) -> None:
    """In a mount namespace of this process's own, put the scripts over the system's programs."""
    if not (folder / "covers").is_dir():
        return
    with contextlib.suppress(OSError):  # without them, PATH leads to ours all the same
        namespaces.unshare(namespaces.CLONE_NEWNS)
        namespaces.make_mounts_private(keep_up=True)
        for script in (folder / "covers").iterdir():
            program = os.path.realpath(shutil.which(script.name, path=_SYSTEM) or script)
            own = str(folder / "system" / script.name)
            namespaces.mount(program, own, flags=namespaces.MS_BIND)
            namespaces.mount(str(script), program, flags=namespaces.MS_BIND)


def _write_script(file: Path, program: str, config: str) -> None:
    file.parent.mkdir(exist_ok=True)
    text = _SCRIPT.format(config=shlex.quote(config), program=shlex.quote(program))
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)
