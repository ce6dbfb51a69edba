"""docs/commands.md: the reference of all commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sm_proxy.help.described import Command, Group

_BEGINNING: Final = """\
# Commands

<!-- Written by script/reference, from the same texts as `sm-proxy help`. -->

`sm-proxy help COMMAND` prints the same on a terminal, and `man sm-proxy` has all of it. Every
command takes `--help`, `--color auto|always|never`, and the [settings](settings.md) that are
options; below, each names those that it uses.
"""


def render(root: Command, commands: Sequence[Command]) -> str:
    """The page.

    Args:
        root: of the program: its groups are the sections of commands.
        commands: all commands and actions, in the order of the page.
    """
    parts = [_BEGINNING]
    sections = [group for group in root.groups if group.title != "output"]
    parts += ["\n".join(_section(group)) for group in sections]
    parts += ["\n".join(_command(command)) for command in commands]
    parts.append("[The manual](index.md)\n")
    return "\n".join(parts)


def _section(group: Group) -> Iterator[str]:
    yield f"**{group.title[:1].upper()}{group.title[1:]}**\n"
    for row in group.rows:
        yield f"- [`{row.names}`](#{row.names}): {row.text}"
    yield ""


def _command(command: Command) -> Iterator[str]:
    name = command.prog.partition(" ")[2]
    yield f"{'###' if ' ' in name else '##'} {name}\n"
    yield f"{command.description}\n"
    yield f"{' or '.join(f'`{form}`' for form in command.usage)}\n"
    column = max(len(line) for line, _ in command.examples)
    yield from (f"    {line:<{column}}  # {purpose}" for line, purpose in command.examples)
    yield ""
    for group in command.groups:
        if group.title == "settings":
            yield f"Settings: {_names(row.names.partition(' ')[0] for row in group.rows)}.\n"
        elif group.title != "output":
            yield from _table(group)
        elif any(row.names == "--json" for row in group.rows):
            yield "With `--json`, the result is one JSON object.\n"


def _table(group: Group) -> Iterator[str]:
    yield f"| {group.title} | |"
    yield "|---|---|"
    for row in group.rows:
        yield f"| `{_cell(row.names)}` | {_cell(row.text).replace('<', '&lt;')} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
