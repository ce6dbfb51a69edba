"""Set values in an editor's settings.json: back it up, and keep its comments and layout."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from sm_proxy.editors import jsonc
from sm_proxy.editors.jsonc import JsoncError
from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write, file_lock, footprint

NOTED: Final = "editor"
"""What this module notes in the `footprint`."""
_TRIES: Final = 20
_BOM: Final = b"\xef\xbb\xbf"
_Done = TypeVar("_Done")


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
        with _locked():
            target = atomic_write.follow_symlinks(path)
            return _until_unchanged(lambda: _set(target, values))
    except (JsoncError, UnicodeDecodeError) as error:
        problem = str(error) if isinstance(error, JsoncError) else "it is not UTF-8"
    except SmProxyError as error:
        problem = error.message
    except OSError as error:
        problem = error.strerror or str(error)
    return Outcome(path, problem=problem)


def _locked() -> contextlib.AbstractContextManager[None]:
    return file_lock.locked("editor-settings", what="the editors' settings")


def _until_unchanged(change: Callable[[], _Done]) -> _Done:
    """Read, change and write a file; start again if the editor saves it meanwhile.

    Raises:
        ChangedError: it has saved it each time.
    """
    for _ in range(_TRIES - 1):
        with contextlib.suppress(atomic_write.ChangedError):
            return change()
    return change()


def _set(target: Path, values: Sequence[tuple[Sequence[str], Any]]) -> Outcome:
    before = atomic_write.read(target)
    content = before or b""
    after = _with_values(content, values)
    text = after.removeprefix(_BOM).decode()
    config_file = str(jsonc.parse(text).get("remote.SSH.configFile") or "")
    if after == content:
        return Outcome(target, config_file=config_file)
    for keys, value in values:
        was_there = before is not None
        footprint.note(NOTED, path=str(target), keys=list(keys), value=value, was_there=was_there)
    atomic_write.exchange_users(target, before, after)
    return Outcome(target, changed=True, config_file=config_file)


@dataclass(frozen=True)
class Changed:
    """A file that we have changed.

    Attributes:
        path: of the file.
        was_there: whether there was one before.
        values: what we have set, with the keys; oldest first.
    """

    path: Path
    was_there: bool
    values: Sequence[tuple[Sequence[str], Any]]


def noted() -> list[Changed]:
    """The files that we have changed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for note in footprint.noted(NOTED):
        found.setdefault(note["path"], []).append(note)
    return [
        Changed(Path(path), notes[0]["was_there"], [(x["keys"], x["value"]) for x in notes])
        for path, notes in found.items()
    ]


def restore(file: Changed) -> None:
    """Take out of a file what we have set; see `restored`.

    Args:
        file: one of `noted`; it may be gone.

    Raises:
        JsoncError: as `restored`.
        UnicodeDecodeError: as `restored`.
        SmProxyError: as `restored` and `file_lock.locked`.
        OSError: it cannot be written.
    """
    with _locked():
        _until_unchanged(lambda: _restore(file))


def _restore(file: Changed) -> None:
    now = atomic_write.read(file.path)
    if now is None:
        return
    after = restored(file, now)
    if after is None:
        atomic_write.remove(file.path, now)
    elif after != now:
        atomic_write.exchange_users(file.path, now, after)


def restored(file: Changed, now: bytes) -> bytes | None:
    """The content of a file without what we have set; None if there was no file before.

    If the file has not been changed since, the content is the same as before, to the byte.

    Args:
        file: one of `noted`.
        now: its content.

    Raises:
        JsoncError: the file is invalid now.
        UnicodeDecodeError: it is not UTF-8.
        SmProxyError: `config-read-only`, its backup cannot be read.
    """
    backup = atomic_write.backup_path(file.path, "original")
    original = (atomic_write.read(backup) or b"") if file.was_there else b""
    if now == _with_values(original, file.values):
        return original if file.was_there else None
    text = now.removeprefix(_BOM).decode()
    for keys, value in file.values:
        if jsonc.value_at(text, keys) == value:  # else the user has changed it
            text = jsonc.without(text, keys)
    return (_BOM if now.startswith(_BOM) else b"") + text.encode()


def _with_values(content: bytes, values: Sequence[tuple[Sequence[str], Any]]) -> bytes:
    bom = _BOM if content.startswith(_BOM) else b""
    text = content[len(bom) :].decode()
    for keys, value in values:
        text = jsonc.with_value(text, keys, value)
    return bom + text.encode()
