"""The table of what can be typed, made from the parser of all commands."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Final

from sm_proxy.completion.table import (
    ASSIGNMENT,
    FILE,
    FOLDER,
    HOST,
    NONE,
    PLACE,
    PREFIX,
    PROFILE,
    PROGRAM,
    REGION,
    SETTING,
    SETTING_OR_HOST,
    Argument,
    Record,
)
from sm_proxy.help import described
from sm_proxy.settings.route_names import AUTO, ROUTE_NAMES
from sm_proxy.settings.schema import FLAGS

_BY_METAVAR: Final = {
    "-- CMD...": PROGRAM,
    "DIR": FOLDER,
    "DST": PLACE,
    "FILE": FILE,
    "FILE | -- CMD...": PROGRAM,
    "HOST": HOST,
    "JOB": HOST,
    "NAME|HOST": SETTING_OR_HOST,
    "PATH": FILE,
    "PROGRAM": FILE,
    "REGION": REGION,
    "SRC": PLACE,
}
_BY_DEST: Final = {
    "path": NONE,  # of `vscode`: a path in the container
    "profile": PROFILE,
    "prefix": PREFIX,
    "set": ASSIGNMENT,
    "unset": SETTING,
}
_CHOICES: Final = {"route": (AUTO, *ROUTE_NAMES)}
"""Values of options that argparse does not check itself, by dest."""
_ANY: Final = 1 << 16
"""As many words as there are."""


def make(parser: argparse.ArgumentParser) -> Record:
    """The table of a parser and all those below it, as JSON."""
    options: list[Record] = []
    operands: list[Record] = []
    # What the command is for comes before what every command has.
    for action in sorted(described.arguments(parser), key=_is_general):
        found = asdict(_argument(parser, action))
        (options if action.option_strings else operands).append(found)
    children = described.subcommands(parser)
    below = {
        row.names: [_plain(row.text), make(children[row.names])]
        for row in described.summaries(parser)
    }
    return {"options": options, "operands": operands, "below": below}


def _is_general(action: argparse.Action) -> bool:
    return action.dest in {*FLAGS, "color", "help", "version"}


def _argument(parser: argparse.ArgumentParser, action: argparse.Action) -> Argument:
    hidden = action.help == argparse.SUPPRESS
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    own = tuple(map(str, action.choices or ()))
    return Argument(
        names=tuple(action.option_strings),
        text="" if hidden else _plain(described.meaning(parser, action)),
        shown=not hidden,
        values=_BY_DEST.get(action.dest, _BY_METAVAR.get(metavar, NONE)),
        choices=own or _CHOICES.get(action.dest, ()),
        most=_most(action.nargs),
        repeats=isinstance(action, argparse._AppendAction | argparse._CountAction),  # noqa: SLF001
    )


def _most(nargs: int | str | None) -> int:
    """How many words an argument takes at most."""
    if isinstance(nargs, int):
        return nargs
    return 1 if nargs in {None, argparse.OPTIONAL} else _ANY


def _plain(text: str) -> str:
    """In one line."""
    return " ".join(text.split())
