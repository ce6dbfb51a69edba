"""A parser of argparse, as plain records: for help, completion, the manual page and the reference.

argparse has no public way to its arguments, so only this module reads its private lists. They are
the same in Python 3.10 to 3.13, and so is the text that is made of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_OUTPUT: Final = ("json", "color", "help", "version")
"""Options that decide what is printed: `dest` of argparse, in the order of help."""
_CHOICES_WIDTH: Final = 28
"""More columns of `{a,b}` move into the text, where they can be wrapped."""
_DURATION: Final = "A DURATION is a number with a unit: 90s, 10m, 2h or 1d; without one, seconds."
_FIRST: Final = ("arguments", "options")
_LAST: Final = ("settings", "output")
"""Titles. The groups of a command stand between them, in its own order."""


@dataclass(frozen=True)
class Row:
    """An argument, an option, a command or an action.

    Attributes:
        names: as it is typed, such as `-r, --recursive` or `--wait DURATION`.
        text: what it is.
    """

    names: str
    text: str


@dataclass(frozen=True)
class Group:
    """Rows with a title.

    Attributes:
        title: such as `options`.
        rows: at least one.
    """

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Command:
    """The help of a command or an action.

    Attributes:
        prog: as it is typed: `sm-proxy config write`.
        usage: the lines of its usage, without `usage: `.
        description: sentences; empty if there are none.
        examples: command lines, and what each is for.
        groups: its commands or actions first.
        epilog: what else there is to know; empty if nothing.
    """

    prog: str
    usage: tuple[str, ...]
    description: str
    examples: tuple[tuple[str, str], ...]
    groups: tuple[Group, ...]
    epilog: str


def describe(parser: argparse.ArgumentParser) -> Command:
    """The help of a parser."""
    return Command(
        prog=parser.prog,
        usage=usage(parser),
        description=parser.description or "",
        examples=tuple(getattr(parser, "examples", ())),
        groups=(*_commands(parser), *_arguments(parser)),
        epilog=parser.epilog or _more(parser),
    )


def _more(parser: argparse.ArgumentParser) -> str:
    if subcommands(parser):
        name = parser.prog.partition(" ")[2]
        return f"`sm-proxy help {name} ACTION` tells more about one, with examples."
    shown = [item for item in parser._actions if not _is_hidden(item)]  # noqa: SLF001
    return _DURATION if any(item.metavar == "DURATION" for item in shown) else ""


def usage(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """What to type, one line for each form: required options, `[options]`, then arguments."""
    if parser.usage:
        return tuple(line.strip() % {"prog": parser.prog} for line in parser.usage.splitlines())
    shown = [item for item in parser._actions if not _is_hidden(item)]  # noqa: SLF001
    words = [parser.prog]
    words += [_typed(item) for item in shown if item.option_strings and item.required]
    words += [_many(item) for item in shown if _is_subparsers(item)]
    words.append("[options]")
    words += [_many(item) for item in shown if not item.option_strings and not _is_subparsers(item)]
    return (" ".join(words),)


def arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Its options and operands, the hidden ones too; not its commands or actions."""
    return [item for item in parser._actions if not _is_subparsers(item)]  # noqa: SLF001


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of its commands or actions by name, without hidden ones."""
    for item in parser._actions:  # noqa: SLF001
        if isinstance(item, argparse._SubParsersAction):  # noqa: SLF001
            return {row.names: item.choices[row.names] for row in summaries(parser)}
    return {}


def summaries(parser: argparse.ArgumentParser) -> tuple[Row, ...]:
    """What help says about each of its commands or actions, without hidden ones."""
    return tuple(
        Row(choice.dest, choice.help or "")
        for item in parser._actions  # noqa: SLF001
        if isinstance(item, argparse._SubParsersAction)  # noqa: SLF001
        for choice in item._choices_actions  # noqa: SLF001
    )


def option_names(parser: argparse.ArgumentParser) -> list[str]:
    """The long options that help shows, such as `--wait`, and those of all settings."""
    settings = [
        item
        for group in parser._action_groups  # noqa: SLF001
        if group.title == "settings"
        for item in group._group_actions  # noqa: SLF001
    ]
    return [
        name
        for item in parser._actions  # noqa: SLF001
        if item in settings or not _is_hidden(item)
        for name in item.option_strings
        if name.startswith("--")
    ]


def shown_options(parser: argparse.ArgumentParser) -> set[str]:
    """The names of the options that help shows: `-v`, `--verbose`; not of settings it hides."""
    shown = (item for item in arguments(parser) if not _is_hidden(item))
    return {name for item in shown for name in item.option_strings}


def walk(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, and those of its commands and actions, in the order of help."""
    yield parser
    for child in subcommands(parser).values():
        yield from walk(child)


def _commands(parser: argparse.ArgumentParser) -> Iterator[Group]:
    sections: dict[str, dict[str, str]] = getattr(parser, "sections", {})
    for title, commands in sections.items():
        yield Group(title, tuple(Row(name, text) for name, text in commands.items()))
    if not sections and (actions := summaries(parser)):
        yield Group("actions", actions)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Group]:
    found: dict[str, list[argparse.Action]] = {title: [] for title in _FIRST}
    for group in parser._action_groups:  # noqa: SLF001
        for item in group._group_actions:  # noqa: SLF001
            if not _is_hidden(item) and not _is_subparsers(item):
                found.setdefault(_title(group, item), []).append(item)
    last = {title: found.pop(title, []) for title in _LAST}
    last["output"].sort(key=lambda item: _OUTPUT.index(item.dest))
    for title, items in {**found, **last}.items():
        if items:
            yield Group(title, tuple(Row(_typed(item), meaning(parser, item)) for item in items))


def _title(group: Any, item: argparse.Action) -> str:
    if item.dest in _OUTPUT:
        return "output"
    if not item.option_strings:
        return "arguments"
    return "options" if group.title in {"options", "optional arguments"} else str(group.title)


def _is_hidden(item: argparse.Action) -> bool:
    return item.help is argparse.SUPPRESS


def _is_subparsers(item: argparse.Action) -> bool:
    return isinstance(item, argparse._SubParsersAction)  # noqa: SLF001


def _typed(item: argparse.Action) -> str:
    """`-r, --recursive`, `--[no-]compression`, `--wait DURATION`, or the name of an argument."""
    if not item.option_strings:
        return _value(item)
    if isinstance(item, argparse.BooleanOptionalAction):
        return f"--[no-]{item.option_strings[0].removeprefix('--')}"
    names = ", ".join(item.option_strings)
    if item.nargs == 0:
        return names
    value = _value(item)
    return f"{names} [{value}]" if item.nargs == "?" else f"{names} {value}"


def _value(item: argparse.Action) -> str:
    if item.metavar is not None:
        return str(item.metavar)
    if item.choices is not None and len(_braces(item)) <= _CHOICES_WIDTH:
        return _braces(item)
    return item.dest.upper()


def _braces(item: argparse.Action) -> str:
    return f"{{{','.join(map(str, item.choices or ()))}}}"


def _many(item: argparse.Action) -> str:
    """An argument as usage shows it."""
    value = _value(item)
    if item.nargs == "?":
        return f"[{value}]"
    if item.nargs == "+":
        return f"{value}..."
    return f"[{value}...]" if item.nargs == "*" else value


def meaning(parser: argparse.ArgumentParser, item: argparse.Action) -> str:
    """What help says about an option or operand; empty if it says nothing."""
    text = (item.help or "") % {**vars(item), "prog": parser.prog}
    if item.metavar is None and item.choices and len(_braces(item)) > _CHOICES_WIDTH:
        if all(str(choice) in text for choice in item.choices):  # each is explained
            return text
        return f"{text}; one of {', '.join(map(str, item.choices))}"
    return text
