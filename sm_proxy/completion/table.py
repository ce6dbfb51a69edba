"""What can be typed where: a table of all options and operands, as plain JSON.

`parsers.py` makes it, and `query.py` keeps it in the cache, because the parser of all commands
takes longer than a person waits for TAB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]

FILE, FOLDER, HOST, PLACE, PROFILE, REGION, PREFIX, PROGRAM, NONE = (
    *("file", "folder", "host", "place", "profile", "region", "prefix", "program", ""),
)
SETTING, ASSIGNMENT, SETTING_OR_HOST = "setting", "assignment", "setting or host"
"""Kinds of values. A place is `HOST:PATH` or a file; a program is a command with its arguments; an
assignment is `NAME=VALUE` of a setting."""


@dataclass(frozen=True)
class Argument:
    """An option, or an operand.

    Attributes:
        names: such as `--json`; empty for an operand.
        text: what help says about it; empty if it is hidden.
        shown: whether it is offered.
        values: the kind of its values, see above.
        choices: its values, if they are few.
        most: how many words it takes at most.
        repeats: whether it may be given again.
    """

    names: tuple[str, ...]
    text: str
    shown: bool
    values: str
    choices: tuple[str, ...]
    most: int
    repeats: bool


@dataclass(frozen=True)
class Level:
    """A command or an action: its options and operands, and what may follow instead of these.

    Attributes:
        options: all of them, the hidden ones too.
        operands: in their order.
        below: the commands or actions, and what help says about each.
    """

    options: tuple[Argument, ...]
    operands: tuple[Argument, ...]
    below: Mapping[str, str]
    _records: Mapping[str, Record]

    def enter(self, name: str) -> Level:
        """The level of a command or action.

        Raises:
            ValueError: its record is damaged.
        """
        return read(self._records[name])


def read(record: Record) -> Level:
    """One level of a table.

    Raises:
        ValueError: it is damaged.
    """
    try:
        options, operands = (
            tuple(Argument(**_frozen(item)) for item in record[part])
            for part in ("options", "operands")
        )
        below = record["below"]
        texts = {str(name): str(text) for name, (text, _) in below.items()}
        inner = {name: inner for name, (_, inner) in below.items()}
        return Level(options, operands, texts, inner)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a table of arguments: {error}") from None


def _frozen(item: Mapping[str, Any]) -> Record:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}
