"""An editor's settings.json: single values set, comments and layout kept, backups beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sm_proxy import file_lock, paths
from sm_proxy.editors import jsonc
from sm_proxy.editors.jsonc import JsoncError

_BOM: Final = b"\xef\xbb\xbf"
ORIGINAL: Final = ".sm-proxy.original"
LATEST: Final = ".sm-proxy.latest"
"""Backups: as we first found it, and as it was before our last change."""


@dataclass(frozen=True)
class Outcome:
    """What became of the settings.

    Attributes:
        path: of the file itself, no symlink to it.
        changed: whether it was written.
        problem: why it was left alone; empty if it was not.
        config_file: the ssh config that the editor is told to read instead of the user's.
    """

    path: Path
    changed: bool = False
    problem: str = ""
    config_file: str = ""


def set_values(path: Path, values: Sequence[tuple[Sequence[str], Any]]) -> Outcome:
    """Set each value under its keys; the file is replaced as a whole, or left alone.

    Whatever is in the way is told in the outcome: an editor opens without it as well.
    """
    target = Path(os.path.realpath(path))
    with file_lock.locked("editor-settings"):
        try:
            return _set(target, values)
        except JsoncError as error:
            return Outcome(target, problem=str(error))
        except UnicodeDecodeError:
            return Outcome(target, problem="it is no UTF-8")
        except OSError as error:
            return Outcome(target, problem=error.strerror or str(error))


def _set(target: Path, values: Sequence[tuple[Sequence[str], Any]]) -> Outcome:
    before = target.read_bytes() if paths.exists(target) else None
    content = before or b""
    bom = _BOM if content.startswith(_BOM) else b""
    text = content[len(bom) :].decode()
    for keys, value in values:
        text = jsonc.with_value(text, keys, value)
    after = bom + text.encode()
    config_file = str(jsonc.parse(text).get("remote.SSH.configFile") or "")
    if after == content:
        return Outcome(target, config_file=config_file)
    mode = 0o644
    if before is not None:
        mode = target.stat().st_mode & 0o777
        _keep(target, before, mode)
    paths.write_private(target, after, mode)
    return Outcome(target, changed=True, config_file=config_file)


def _keep(target: Path, content: bytes, mode: int) -> None:
    original = target.with_name(target.name + ORIGINAL)
    if not paths.exists(original):
        paths.write_private(original, content, mode)
    paths.write_private(target.with_name(target.name + LATEST), content, mode)
