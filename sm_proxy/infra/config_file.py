"""Write the table `[launch]` of config.toml, and remove it; all else in the file stays.

`settings/launch_table.py` reads it. tomlkit keeps comments, order and spaces; its result is parsed
again, and refused if anything but our table has changed.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write, file_lock
from sm_proxy.settings import sources

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLE: Final = "launch"
_HEADER: Final = re.compile(r"^[ \t]*\[[ \t]*launch[ \t]*\][^\n]*\n?", re.MULTILINE)
_BY: Final = "written by sm-proxy infra deploy"
_BOM: Final = b"\xef\xbb\xbf"
_RACE_S: Final = 10.0
"""Seconds after which we give up if another program keeps saving the file."""
_PAUSE_S: Final = (0.05, 0.2)


def write_launch(region: str, subnets: Sequence[str], security_groups: Sequence[str]) -> Path:
    """Make `[launch]` name this network. Returns the file, with symlinks resolved.

    Args:
        region: of the network.
        subnets: their ids.
        security_groups: their ids.

    Raises:
        SmProxyError: `config-malformed`, the file is not TOML, with the line; `config-read-only`,
            it cannot be written, with the lines to add by hand; `busy`, other programs keep
            changing it.
    """
    wanted: dict[str, Any] = {
        "region": region,
        "subnets": list(subnets),
        "security_groups": list(security_groups),
    }
    by_hand = f"Add by hand: {_one_line(wanted)}"
    path, _ = _change(lambda text, where: _with_launch(text, wanted, where), by_hand)
    return path


def remove_launch(security_groups: Sequence[str]) -> bool:
    """Remove `[launch]` if it names one of these groups. Returns whether it did.

    Args:
        security_groups: those of the network that goes. Another network's table stays.

    Raises:
        SmProxyError: as `write_launch`.
    """
    gone = set(security_groups)
    by_hand = "Delete its table [launch] by hand."
    return _change(lambda text, where: _without_launch(text, gone, where), by_hand)[1]


def _with_launch(text: str, wanted: dict[str, Any], where: Path) -> str:
    text += "" if text.endswith("\n") or not text else "\n"
    document, before = _parsed(text, where)
    table = document.get(_TABLE)
    if before.get(_TABLE) == wanted:
        return text
    if not isinstance(table, dict):
        document.pop(_TABLE, None)
        table = tomlkit.table()
        table.comment(_BY)
        if text.strip():
            document.add(tomlkit.nl())
        document[_TABLE] = table
        table = document[_TABLE]
    for name, value in wanted.items():
        table[name] = value
    after = tomlkit.dumps(document)
    if not _holds(after, before | {_TABLE: {**_table_of(before), **wanted}}):
        raise _too_hard(where, _one_line(wanted))
    return after


def _without_launch(text: str, groups: set[str], where: Path) -> str:
    document, before = _parsed(text, where)
    named = _table_of(before).get("security_groups")
    if not isinstance(named, list) or groups.isdisjoint(map(str, named)):
        return text
    rest = {name: value for name, value in before.items() if name != _TABLE}
    table = document[_TABLE]
    if isinstance(table, Table):  # comments before the next table count as part of this one
        for name in list(table):
            table.remove(name)
        emptied = tomlkit.dumps(document)
        found = [
            emptied[: header.start()] + emptied[header.end() :].lstrip("\n")
            for header in _HEADER.finditer(emptied)
        ]
    else:
        document.remove(_TABLE)
        found = [tomlkit.dumps(document)]
    after = next((text for text in found if _holds(text, rest)), None)
    if after is None:
        raise _too_hard(where, "remove the table [launch]")
    return after


def _parsed(text: str, where: Path) -> tuple[tomlkit.TOMLDocument, dict[str, Any]]:
    try:
        return tomlkit.parse(text), tomllib.loads(text)
    except (tomllib.TOMLDecodeError, TOMLKitError, RecursionError) as error:
        what = f"{where} is not valid TOML: {error}"
        raise SmProxyError("config-malformed", what, "Correct it, then run this again.") from None


def _table_of(parsed: dict[str, Any]) -> dict[str, Any]:
    found = parsed.get(_TABLE)
    return found if isinstance(found, dict) else {}


def _holds(text: str, expected: dict[str, Any]) -> bool:
    """Whether the text is TOML with exactly these values."""
    try:
        return bool(tomllib.loads(text) == expected)
    except (tomllib.TOMLDecodeError, RecursionError):
        return False


def _change(edit: Callable[[str, Path], str], by_hand: str) -> tuple[Path, bool]:
    """Edit the file under the writers' lock; again if another program saves it meanwhile.

    Returns:
        The file, with symlinks resolved, and whether it was changed.
    """
    with file_lock.locked("config-file", what="config.toml"):
        until = time.monotonic() + _RACE_S
        while True:
            try:
                return _change_once(edit, by_hand)
            except atomic_write.ChangedError as error:
                if time.monotonic() >= until:
                    raise SmProxyError(
                        "busy",
                        f"another program keeps changing {error.filename}",
                        "Wait until that program has saved it, then run this again.",
                    ) from None
            time.sleep(random.uniform(*_PAUSE_S))  # noqa: S311 - jitter


def _change_once(edit: Callable[[str, Path], str], by_hand: str) -> tuple[Path, bool]:
    try:
        path = atomic_write.follow_symlinks(sources.config_file())
        before = atomic_write.read(path)
    except SmProxyError as error:
        raise SmProxyError(error.code, error.message, by_hand) from None
    after = _edited(before or b"", edit, path)
    if after == (before or b""):
        return path, False
    try:
        atomic_write.exchange_users(path, before, after)
    except atomic_write.ChangedError:
        raise
    except OSError as error:
        what = f"{path} cannot be written: {error.strerror or error}"
        raise SmProxyError("config-read-only", what, by_hand) from None
    return path, True


def _edited(content: bytes, edit: Callable[[str, Path], str], path: Path) -> bytes:
    """The content after an edit of its text, with the same byte order mark and line ends."""
    bom = _BOM if content.startswith(_BOM) else b""
    try:
        text = content[len(bom) :].decode()
    except UnicodeDecodeError as error:
        what = f"{path} is not UTF-8: {error.reason} at byte {error.start}"
        raise SmProxyError("config-malformed", what, "Save it as UTF-8, then again.") from None
    crlf = "\r\n" in text and text.count("\r\n") == text.count("\n")
    plain = text.replace("\r\n", "\n") if crlf else text
    after = edit(plain, path)
    return bom + (after.replace("\n", "\r\n") if crlf else after).encode()


def _one_line(wanted: dict[str, Any]) -> str:
    """The table as one line of TOML, which can stand in an error message."""
    table = tomlkit.inline_table()
    table.update(wanted)
    return f"{_TABLE} = {table.as_string()}"


def _too_hard(where: Path, todo: str) -> SmProxyError:
    what = f"{where} has a form that we cannot edit without changing more than [launch]"
    return SmProxyError("config-malformed", what, f"Change it by hand: {todo}")
