"""How `sm-proxy settings` shows settings to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import layout, suggestion
from sm_proxy.local.layout import Cell, Row
from sm_proxy.local.screen import Screen, Style
from sm_proxy.settings import sources
from sm_proxy.settings.origins import Found, Origin, Report
from sm_proxy.settings.schema import (
    FILE_ONLY,
    FLAGS,
    LaunchNetwork,
    Settings,
    aws_variables,
    default_words,
    option,
    variable,
    words,
)

_HEADINGS: Final = ("SETTING", "VALUE", "FROM")


def render(
    report: Report,
    names: Sequence[str],
    block: Mapping[str, Any],
    view: Screen,
    *,
    detailed: bool,
) -> str:
    """The settings as a table, or each with all that is known about it.

    Args:
        report: where they come from.
        names: which ones.
        block: what ssh takes from its config block instead, by name.
        view: what stdout can show.
        detailed: whether to tell all.
    """
    origins = [report.of(name) for name in names]
    if detailed:
        parts = [layout.pairs(_details(origin, report, block), view) for origin in origins]
        lines = "\n\n".join("\n".join(part) for part in parts).split("\n")
    else:
        rows = [row for origin in origins for row in _rows(origin, report, block)]
        lines = [*layout.table(_HEADINGS, rows, view), "", *_files(report, view)]
    return "\n".join([*lines, *_problems(report, view)])


def no_such_setting(name: str, known: Iterable[str], *, or_host: bool = True) -> SmProxyError:
    """The error for a word that is no setting, nor a host name of ours where one may stand."""
    more = ", and no host name begins with that" if or_host else ""
    what = f"there is no setting {printable(name)!r}{more}"
    return SmProxyError("bad-setting", what, meant(name, known))


def meant(name: str, known: Iterable[str]) -> str:
    """`Did you mean ...?`, or where to see all."""
    return suggestion.sentence(name, known) or "See them: `sm-proxy settings`."


def _rows(origin: Origin, report: Report, block: Mapping[str, Any]) -> list[Row]:
    used = origin.used
    if origin.name == "hosts" and used.value:
        return [_host_row(host, table, used, report) for host, table in used.value.items()]
    faint: Style | None = "faint" if used.kind == "default" else None
    note = [
        f"instead of {_value(origin, found)} ({_place(found, report)})"
        for found in origin.overridden
        if found.value != used.value
    ]
    if origin.name in block:
        note.append(f"ssh takes {words(block[origin.name])}, from its config block")
    cells = (origin.name, Cell(_value(origin, used), faint), Cell(_place(used, report), faint))
    return [Row(cells, "; ".join(note))]


def _host_row(host: str, table: Any, used: Found, report: Report) -> Row:
    return Row((f"hosts.{printable(host)}", _host_words(table), _place(used, report)))


def _host_words(table: Any) -> str:
    return printable(", ".join(f"{key}={words(value)}" for key, value in dict(table).items()))


def _details(
    origin: Origin, report: Report, block: Mapping[str, Any]
) -> list[tuple[Cell | str, str]]:
    name, used = origin.name, origin.used
    item = Settings.__dataclass_fields__[name]
    from_where = "" if used.kind == "default" else f", from {used.place}"
    found: list[tuple[Cell | str, str]] = [
        (Cell(name, "heading"), str(item.metadata["about"])),
        ("value", f"{_value(origin, used)}{from_where}"),
    ]
    found += [
        ("instead of", f"{_value(origin, other)}, from {other.place}")
        for other in origin.overridden
    ]
    if name in block:
        found.append(("ssh takes", f"{words(block[name])}, from its block in {report.recorded_in}"))
    found.append(("default", default_words(name)))
    found.append(("set by", _set_by(name)))
    return found


def _set_by(name: str) -> str:
    """Each way to set it, the strongest first."""
    if name in FILE_ONLY:
        return f"the table [{name}] in config.toml"
    recorded = Settings.__dataclass_fields__[name].metadata["recorded"]
    ways = [
        *([option(name)] if name in FLAGS else []),
        variable(name),
        *aws_variables(name),
        *(["`sm-proxy config write`, for each prefix"] if recorded else []),
        f"`sm-proxy settings --set {name}=VALUE`, in config.toml",
    ]
    return "\n".join(ways)


def _value(origin: Origin, found: Found) -> str:
    if found.value is None or (found.kind == "default" and not found.value):
        return default_words(origin.name)
    if isinstance(found.value, LaunchNetwork):
        network = found.value
        return printable(
            f"{network.region}: {', '.join((*network.subnets, *network.security_groups))}"
        )
    if origin.name == "hosts":
        lines = (f"{printable(host)}: {_host_words(table)}" for host, table in found.value.items())
        return "\n".join(lines)
    return printable(words(found.value))


def _place(found: Found, report: Report) -> str:
    """The place in a few words: the files have lines of their own below the table."""
    if found.kind == "recorded":
        return f"recorded for {report.prefix}"
    if found.kind == "file":
        path = sources.config_file()
        return found.place.replace(str(path), path.name, 1)
    return printable(found.place) if found.kind != "default" else "default"


def _files(report: Report, view: Screen) -> list[str]:
    path = sources.config_file()
    kinds = {origin.used.kind for origin in report.origins}
    is_missing = not report.problems and not path.exists()  # else it may be unreadable
    rows = [(path.name, f"{path}{' (there is none)' if is_missing else ''}")]
    if "recorded" in kinds:
        rows.append(("recorded", f"{report.recorded_in}; changed by `sm-proxy config write`"))
    return layout.pairs(rows, view)


def _problems(report: Report, view: Screen) -> list[str]:
    rows = [(Cell("wrong", "bad"), printable(problem.text)) for problem in report.problems]
    return ["", *layout.pairs(rows, view)] if rows else []
