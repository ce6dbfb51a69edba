"""Write the table `[launch]` of config.toml, and remove it; all else in the file stays.

`settings/launch_table.py` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.items import Table

from sm_proxy.errors import SmProxyError
from sm_proxy.settings import file_edit

_TABLE: Final = "launch"
_HEADER: Final = re.compile(r"^[ \t]*\[[ \t]*launch[ \t]*\][^\n]*\n?", re.MULTILINE)
_BY: Final = "written by sm-proxy infra deploy"


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
    path, _ = file_edit.change(lambda text, where: _with_launch(text, wanted, where), by_hand)
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
    return file_edit.change(lambda text, where: _without_launch(text, gone, where), by_hand)[1]


def _with_launch(text: str, wanted: dict[str, Any], where: Path) -> str:
    text += "" if text.endswith("\n") or not text else "\n"
    document, before = file_edit.parsed(text, where)
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
    if not file_edit.holds(after, before | {_TABLE: {**_table_of(before), **wanted}}):
        raise _too_hard(where, _one_line(wanted))
    return after


def _without_launch(text: str, groups: set[str], where: Path) -> str:
    document, before = file_edit.parsed(text, where)
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
    after = next((text for text in found if file_edit.holds(text, rest)), None)
    if after is None:
        raise _too_hard(where, "remove the table [launch]")
    return after


def _table_of(parsed: dict[str, Any]) -> dict[str, Any]:
    found = parsed.get(_TABLE)
    return found if isinstance(found, dict) else {}


def _one_line(wanted: dict[str, Any]) -> str:
    """The table as one line of TOML, which can stand in an error message."""
    table = tomlkit.inline_table()
    table.update(wanted)
    return f"{_TABLE} = {table.as_string()}"


def _too_hard(where: Path, todo: str) -> SmProxyError:
    what = f"{where} has a form that we cannot edit without changing more than [launch]"
    return SmProxyError("config-malformed", what, f"Change it by hand: {todo}")
