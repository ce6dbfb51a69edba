"""A record of what we have written outside our own folders, for `sm-proxy uninstall`.

The record is one file in the state folder, a JSON object on each line. It has no secret: of the
keyring it has the names of items.
"""

from __future__ import annotations

import contextlib
import json
import stat
import sys
from pathlib import Path
from typing import Any, Final, Literal

from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log, paths, private_files

Kind = Literal["keyring", "editor", "ssh-config", "folder"]
FILE_NAME: Final = "footprint.jsonl"
_MADE_BY_US: Final = 0o700
"""As `private_files.ensure_private_dir` makes them: the user's folders are more open."""
_LIMIT: Final = 4 << 20
_FIELDS: Final[dict[Kind, dict[str, type]]] = {
    "keyring": {"name": str},
    "editor": {"path": str, "keys": list, "value": object, "was_there": bool},
    "ssh-config": {"path": str, "own": str},
    "folder": {"path": str},
}
"""What a note of each kind has."""


def note(kind: Kind, **fields: Any) -> None:
    """Note something that is about to be written, or has been; once is enough.

    If the note cannot be written, the work goes on: `uninstall` would miss this one.
    """
    record = {"kind": kind, **fields}
    try:
        if record not in _records():
            private_files.append_own(paths.state_dir() / FILE_NAME, json.dumps(record).encode())
    except (OSError, SmProxyError) as error:
        debug_log.write("no note of what was written", kind=kind, why=error)


def note_ssh_folder(path: Path) -> None:
    """Note `~/.ssh` if it is missing and `path`, which is about to be written, is in it."""
    folder = paths.ssh_home() / ".ssh"
    if path.is_relative_to(folder) and not folder.exists():
        note("folder", path=str(folder))


def noted(kind: Kind) -> list[dict[str, Any]]:
    """The fields of each whole note of this kind, oldest first."""
    fields = _FIELDS[kind]
    return [
        {name: record[name] for name in fields}
        for record in _records()
        if record.get("kind") == kind
        and all(name in record and isinstance(record[name], fields[name]) for name in fields)
    ]


def remove_empty_parents(path: Path) -> None:
    """Remove the folders above a path, up to the home folder, that we have made: empty, mode 0700.

    Such as `~/.local/state` on a new machine. The user may have made an empty `~/.ssh` with this
    mode, as its manual says: it goes only if it is noted as made by us.
    """
    usual = paths.ssh_home() / ".ssh"
    is_users = {"path": str(usual)} not in noted("folder")
    homes = [home.resolve() for home in (paths.ssh_home(), Path.home())]
    for folder in path.resolve().parents:
        if is_users and folder == usual.resolve():
            return
        if folder in homes or not any(map(folder.is_relative_to, homes)):
            return
        try:
            if not has_our_mode(folder.stat().st_mode):
                return
            folder.rmdir()
        except FileNotFoundError:  # removed with what was in it
            continue
        except OSError:  # it is not empty
            return


def has_our_mode(mode: int) -> bool:
    """Whether a folder has the mode of those that we make; on Windows, a mode says nothing.

    Args:
        mode: its `st_mode`.
    """
    return sys.platform == "win32" or stat.S_IMODE(mode) == _MADE_BY_US


def _records() -> list[dict[str, Any]]:
    content = b""
    with contextlib.suppress(OSError, SmProxyError):
        content = private_files.read_own(paths.state_dir() / FILE_NAME, _LIMIT)
    found = []
    for line in content.splitlines():
        with contextlib.suppress(ValueError):  # a full disk has cut it
            found.append(json.loads(line))
    return [record for record in found if isinstance(record, dict)]
