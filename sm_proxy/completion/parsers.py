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
    below: Record = {}
    # What the command is for comes before what every command has.
    for action in sorted(parser._actions, key=_is_general):  # noqa: SLF001 - argparse tells nowhere else what it parses
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            texts = {item.dest: item.help for item in action._get_subactions()}  # noqa: SLF001
            below = {
                name: [_plain(texts.get(name)), make(child)]
                for name, child in action.choices.items()
            }
        else:
            (options if action.option_strings else operands).append(asdict(_argument(action)))
    return {"options": options, "operands": operands, "below": below}


def _is_general(action: argparse.Action) -> bool:
    return action.dest in {*FLAGS, "color", "help", "version"}


def _argument(action: argparse.Action) -> Argument:
    least, most = _number(action.nargs)
    hidden = action.help == argparse.SUPPRESS
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    own = tuple(map(str, action.choices or ()))
    return Argument(
        names=tuple(action.option_strings),
        text="" if hidden else _text(action),
        shown=not hidden,
        values=_BY_DEST.get(action.dest, _BY_METAVAR.get(metavar, NONE)),
        choices=own or _CHOICES.get(action.dest, ()),
        least=least,
        most=most,
        repeats=isinstance(action, argparse._AppendAction | argparse._CountAction),  # noqa: SLF001
    )


def _number(nargs: int | str | None) -> tuple[int, int]:
    """How many words an argument takes: the least, the most."""
    if isinstance(nargs, int):
        return nargs, nargs
    if nargs is None:
        return 1, 1
    return int(nargs == argparse.ONE_OR_MORE), 1 if nargs == argparse.OPTIONAL else _ANY


def _text(action: argparse.Action) -> str:
    """What help says, in one line."""
    if not action.help:
        return ""
    return _plain(argparse.HelpFormatter("")._expand_help(action))  # noqa: SLF001 - fills in %()s


def _plain(text: str | None) -> str:
    return " ".join((text or "").split())
