"""Set and remove settings in `config.toml`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.items import InlineTable

from sm_proxy.errors import SmProxyError
from sm_proxy.settings import contexts, file_edit, sources
from sm_proxy.settings.schema import FILE_ONLY, Settings, validate

_HOST_KEY: Final = "trust_first_use"
"""The only setting that a single host can have."""
_TABLES: Final = {
    "launch": (
        "Run `sm-proxy infra deploy`, or write the table into config.toml.",
        "Remove the table [launch] from config.toml.",
    ),
    "hosts": (
        "Name a host: `sm-proxy settings sm-myjob --set trust_first_use=true`.",
        "Name each host: `sm-proxy settings sm-myjob --unset trust_first_use`.",
    ),
}
"""How to set a table, and how to remove it."""


def write(wanted: Mapping[str, str | None], host: str | None = None) -> tuple[Path, bool]:
    """Change settings of the file.

    Args:
        wanted: by name, the value as typed; None to remove the setting.
        host: the host name whose table is changed; None for the settings of all hosts.

    Returns:
        The file, with symlinks resolved, and whether it was changed.

    Raises:
        SmProxyError: `bad-setting`, a value is wrong, or a setting cannot be set so; and what
            `file_edit.change` raises. Then nothing is written.
    """
    values = {name: _checked(name, text, host) for name, text in wanted.items()}
    by_hand = f"Change by hand in config.toml: {', '.join(values)}"
    return file_edit.change(lambda text, path: _edited(text, path, values, host), by_hand)


def keys() -> frozenset[str]:
    """The keys of the file; none if it cannot be read or is not TOML, which `write` reports."""
    path = sources.config_file()
    with contextlib.suppress(SmProxyError):
        return frozenset(sources.parse_toml(sources.read_text(path), path))
    return frozenset()


def _checked(name: str, text: str | None, host: str | None) -> bool | str | None:
    """The value as it stands in the file."""
    if name not in Settings.__dataclass_fields__ and text is None and host is None:
        return None  # a key that the file should not have
    if name not in Settings.__dataclass_fields__:
        raise SmProxyError(
            "bad-setting", f"there is no setting {name!r}", "See them: `sm-proxy settings`."
        )
    if name in FILE_ONLY:
        raise SmProxyError("bad-setting", f"{name} is a table", _TABLES[name][text is None])
    if host is not None and name != _HOST_KEY:
        raise SmProxyError(
            "bad-setting",
            f"{name} cannot be set for one host, only {_HOST_KEY}",
            "Give hosts a prefix of their own: `sm-proxy config write --help`.",
        )
    if text is None:
        return None
    value = validate(name, text, "--set")
    if isinstance(value, bool):
        return value
    return str(contexts.with_absolute_paths({name: text})[name])


def _edited(
    text: str, path: Path, values: Mapping[str, bool | str | None], host: str | None
) -> str:
    document, before = file_edit.parsed(text, path)
    expected = _with_values(before, values, host)
    if expected == before:
        return text
    _put(document, values, host)
    after = tomlkit.dumps(document)
    if not file_edit.holds(after, expected):
        raise SmProxyError(
            "config-malformed",
            f"{path} has a form that we cannot edit without changing more",
            f"Change it by hand: {', '.join(values)}.",
        )
    return after


def _with_values(
    before: Mapping[str, Any], values: Mapping[str, bool | str | None], host: str | None
) -> dict[str, Any]:
    """What the file must hold afterwards, as plain values."""
    after = dict(before)
    if host is None:
        table = after
    else:
        hosts = dict(after.get("hosts") or {})
        table = dict(hosts.get(host) or {})
        hosts[host] = table
        after["hosts"] = hosts
    for name, value in values.items():
        table.pop(name, None)
        if value is not None:
            table[name] = value
    if host is not None and not table:
        del after["hosts"][host]
        if not after["hosts"]:
            del after["hosts"]
    return after


def _put(document: Any, values: Mapping[str, bool | str | None], host: str | None) -> None:
    """Change the document, in which tomlkit keeps comments and spaces."""
    table = document
    if host is not None:
        hosts = document.setdefault("hosts", tomlkit.table(is_super_table=True))
        inline = isinstance(hosts, InlineTable)
        table = hosts.setdefault(host, tomlkit.inline_table() if inline else tomlkit.table())
    for name, value in values.items():
        if value is None:
            table.pop(name, None)
        else:
            table[name] = value
    if host is not None and not table:
        hosts.remove(host)
        if not hosts:
            document.remove("hosts")
