"""What we have written outside our own folders, so that `sm-proxy uninstall` finds it.

The record is one file in the state folder, a JSON object on each line. It has no secret: of the
keyring it has the names of items.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Final, Literal

from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log, paths, private_files

Kind = Literal["keyring", "editor", "ssh-config", "folder"]
FILE_NAME: Final = "footprint.jsonl"
_LIMIT: Final = 4 << 20


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
    """The fields of each note of this kind, oldest first."""
    return [
        {name: value for name, value in record.items() if name != "kind"}
        for record in _records()
        if record.get("kind") == kind
    ]


def _records() -> list[dict[str, Any]]:
    content = b""
    with contextlib.suppress(OSError, SmProxyError):
        content = private_files.read_own(paths.state_dir() / FILE_NAME, _LIMIT)
    found = []
    for line in content.splitlines():
        with contextlib.suppress(ValueError):  # a full disk has cut it
            found.append(json.loads(line))
    return [record for record in found if isinstance(record, dict)]
