"""A bounded log of small records in the state folder: one JSON object per line, oldest first.

Several processes may write at once. We skip damaged lines, and ignore a log that cannot be written.
A full log is renamed to `NAME.1`, which replaces the previous one.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import file_lock, private_files

LIMIT_BYTES: Final = 16 << 10
"""Size of each of the two files."""
_TEXT_LIMIT: Final = 1000
"""Characters of one value."""
_READ_LIMIT: Final = 1 << 20


class Journal:
    """The log in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._older = path.with_name(f"{path.name}.1")

    def add(self, record: dict[str, Any]) -> None:
        """Append a record, with long texts cut; failures are ignored."""
        shown = {
            name: value[:_TEXT_LIMIT] if isinstance(value, str) else value
            for name, value in record.items()
        }
        with contextlib.suppress(OSError, SmProxyError, ValueError):
            if private_files.append_own(self._path, json.dumps(shown).encode()) > LIMIT_BYTES:
                self._turn_over()

    def records(self) -> list[dict[str, Any]]:
        """The readable records, oldest first."""
        return [*_records(self._older), *_records(self._path)]

    def _turn_over(self) -> None:
        with file_lock.locked("journal", wait=False):  # the process that holds it does the same
            if self._path.stat().st_size > LIMIT_BYTES:  # no other process has done it meanwhile
                self._path.replace(self._older)


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        private_files.refuse_shared(path.parent)
        lines = private_files.read_own(path, _READ_LIMIT).splitlines()
    except OSError:
        return []
    return [record for record in map(_record, lines) if record is not None]


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
