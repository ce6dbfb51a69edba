"""Set values in an editor's settings.json: back it up, and keep its comments and layout."""

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
    """The result of `set_values`.

    Attributes:
        path: of the file; symlinks are resolved where possible.
        changed: whether it was written.
        problem: why it was left alone; empty if there was no problem.
        config_file: the ssh config that these settings name instead of the user's; may be empty.
    """

    path: Path
    changed: bool = False
    problem: str = ""
    config_file: str = ""


def set_values(path: Path, values: Sequence[tuple[Sequence[str], Any]]) -> Outcome:
    """Set each value under its keys; the file is replaced as a whole, or left alone.

    A problem is reported in the outcome and not raised: the editor also opens without the settings.
    """
    try:
        with file_lock.locked("editor-settings", what="the editors' settings"):
            return _set_with_retries(atomic_write.follow_symlinks(path), values)
    except (JsoncError, UnicodeDecodeError) as error:
        problem = str(error) if isinstance(error, JsoncError) else "it is not UTF-8"
    except SmProxyError as error:
        problem = error.message
    except OSError as error:
        problem = error.strerror or str(error)
    return Outcome(path, problem=problem)


def _set_with_retries(target: Path, values: Sequence[tuple[Sequence[str], Any]]) -> Outcome:
    """Set the values; start again if the editor saves the file meanwhile."""
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
    atomic_write.exchange_users(target, before, after)
    return Outcome(target, changed=True, config_file=config_file)
