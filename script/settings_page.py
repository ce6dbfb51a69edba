"""docs/settings.md: what `settings.schema` and `settings.variables` say, and which value counts."""

from __future__ import annotations

from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Final

from sm_proxy import cli
from sm_proxy.commands import config
from sm_proxy.help import described
from sm_proxy.settings import variables
from sm_proxy.settings.schema import FILE_ONLY, FLAGS, Settings, default_words, option

_TEXT: Final = Path(__file__).with_suffix(".md")
"""The page, with a comment where a table goes."""


def render() -> str:
    """The text of the page."""
    by_option = _recorded_by_option()
    rows = [_row(item, by_option) for item in fields(Settings)]
    tables = {
        "settings": _table(("setting", "what it is", "default", "flag"), rows),
        "variables": _table(("variable", "what it does"), _described(variables.OTHERS)),
        "own": _table(("variable", "what it is for"), _described(variables.OWN)),
    }
    text = _TEXT.read_text(encoding="utf-8")
    for name, table in tables.items():
        text = text.replace(f"<!-- {name} -->\n", table)
    return text


def _row(item: Field[Any], by_option: set[str]) -> tuple[str, ...]:
    if item.name in FILE_ONLY:
        way = "only in `config.toml`"
    elif item.name in FLAGS:
        way = f"`{option(item.name)}`"
    elif item.name in by_option:
        way = f"*config write* `{option(item.name)}`"
    else:
        way = "*config write*" if item.metadata["recorded"] else ""
    return f"`{item.name}`", str(item.metadata["about"]), default_words(item.name), way


def _recorded_by_option() -> set[str]:
    """The settings that are an option of `config write`."""
    parser = cli.Parser(prog="config")
    config.add_arguments(parser)
    for action in described.walk(parser):
        if action.prog == "config write":
            return {item.dest for item in described.arguments(action)}
    return set()


def _described(named: dict[str, str]) -> list[tuple[str, ...]]:
    """One row each; an incomplete name is the beginning of several."""
    rest = {name: "..." if name.endswith("_") else "" for name in named}
    return [(f"`{name}{rest[name]}`", text) for name, text in named.items()]


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
