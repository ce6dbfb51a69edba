"""An editor's settings.json: single values set, comments and layout kept, a backup of the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sm_proxy.editors import jsonc
from sm_proxy.editors.jsonc import JsoncError
from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write, file_lock

_TRIES: Final = 20
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Outcome:
    """What became of the settings.

    Attributes:
        path: of the file itself, no symlink to it where that can be told.
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
    try:
        with file_lock.locked("editor-settings", what="the editors' settings"):
            return _set_at_last(atomic_write.follow_symlinks(path), values)
    except (JsoncError, UnicodeDecodeError) as error:
        problem = str(error) if isinstance(error, JsoncError) else "it is no UTF-8"
    except SmProxyError as error:
        problem = error.message
    except OSError as error:
        problem = error.strerror or str(error)
    return Outcome(path, problem=problem)


def _set_at_last(target: Path, values: Sequence[tuple[Sequence[str], Any]]) -> Outcome:
    """Set them in what the editor has saved last."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(atomic_write.ChangedError):
            return _set(target, values)
    return _set(target, values)


def _set(target: Path, values: Sequence[tuple[Sequence[str], Any]]) -> Outcome:
    before = atomic_write.read(target)
    content = before or b""
    bom = _BOM if content.startswith(_BOM) else b""
    text = content[len(bom) :].decode()
    for keys, value in values:
        text = jsonc.with_value(text, keys, value)
    after = bom + text.encode()
    config_file = str(jsonc.parse(text).get("remote.SSH.configFile") or "")
    if after == content:
        return Outcome(target, config_file=config_file)
    atomic_write.refuse_read_only(target)
    with contextlib.ExitStack() as stack:
        if before is not None:
            atomic_write.refuse_linked(target)
            stack.enter_context(atomic_write.backed_up(target, before))
        atomic_write.exchange(target, before, after)
    return Outcome(target, changed=True, config_file=config_file)
