"""From the words before the cursor to what may stand there: the same walk that argparse does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sm_proxy.completion import table, values
from sm_proxy.completion.table import Argument, Level

_TAKES_ENDED: Final = frozenset({"cp", "doctor", "logs", "relaunch", "resolve"})
"""Commands that have a use for a job that is over."""
_NOT_TYPED: Final = frozenset({"connect"})
"""Commands that ssh starts; they are completed, and not offered."""


@dataclass(frozen=True)
class Candidate:
    """One thing that may stand at the cursor.

    Attributes:
        word: the whole word, not quoted.
        text: what it is; may be empty.
        open: whether more follows in the same word, so that no space may be added.
    """

    word: str
    text: str = ""
    open: bool = False


@dataclass(frozen=True)
class Answer:
    """What may stand at the cursor.

    Attributes:
        candidates: those that begin with what is typed, in the order to show.
        files: `file` or `folder` if paths may stand there too; else empty.
        program: the index of the word that begins another program's command line, which that
            program's own completion can complete; 0 if there is none.
        stem: the part of the current word that belongs to every candidate: `--region=`.
    """

    candidates: tuple[Candidate, ...] = ()
    files: str = ""
    program: int = 0
    stem: str = ""


@dataclass
class _Walk:
    """What the words before the cursor have used up.

    Attributes:
        level: the command or action that they lead to.
        command: the name of the command; empty before it.
        given: the names of the options that were given.
        pending: the option whose value comes next, if any.
        taken: how many operands there were.
        dashes: the index of `--`; 0 if there is none.
    """

    level: Level
    command: str = ""
    given: set[str] = field(default_factory=set)
    pending: Argument | None = None
    taken: int = 0
    dashes: int = 0


def find(top: Level, words: Sequence[str]) -> Answer:
    """What may stand in place of the last of `words`.

    Args:
        top: the table.
        words: the command line without quotes, from the program's name to the word at the cursor,
            which ends there and may be empty.

    Raises:
        ValueError: the table is damaged.
    """
    current = words[-1]
    walk = _Walk(top)
    for index, word in enumerate(words[1:-1], 1):
        if not _step(walk, word, index):
            return Answer()
    if not walk.dashes and current.startswith("-"):
        return _option(walk, current)
    if walk.pending is not None:
        return _values_of(walk.pending, current, walk)
    found = (
        _operand(walk, current) if walk.dashes or not walk.level.below else _below(walk, current)
    )
    # Where nothing else can follow, an option can.
    return found if current or walk.dashes or found != Answer() else _option(walk, current)


def _step(walk: _Walk, word: str, index: int) -> bool:
    """Take one word; False if it makes what follows unknown."""
    if walk.dashes:
        walk.taken += 1
    elif word == "--":
        walk.dashes, walk.pending = index, None
    elif word.startswith("-") and len(word) > 1:
        name, _, value = word.partition("=")
        option = _option_named(walk.level, name)
        walk.given |= set(option.names) if option else {name}
        takes_next = option is not None and option.most > 0 and not value and "=" not in word
        walk.pending = option if takes_next else None
    elif walk.pending is not None:
        walk.pending = None
    elif walk.level.below and word == "help" and not walk.command:
        pass  # `sm-proxy help COMMAND`
    elif walk.level.below:
        if word not in walk.level.below:
            return False
        walk.level, walk.command = walk.level.enter(word), walk.command or word
        walk.taken = 0
    else:
        walk.taken += 1
    return True


def _option_named(level: Level, name: str) -> Argument | None:
    return next((option for option in level.options if name in option.names), None)


def _option(walk: _Walk, current: str) -> Answer:
    """Options, or the value of `--option=`."""
    name, equals, typed = current.partition("=")
    if equals:
        option = _option_named(walk.level, name)
        if option is None or not option.most:
            return Answer()
        found = _values_of(option, typed, walk)
        return Answer(found.candidates, found.files, stem=f"{name}=")
    offered = [
        Candidate(name, option.text)
        for option in walk.level.options
        if option.shown and (option.repeats or walk.given.isdisjoint(option.names))
        for name in _names(option, current)
    ]
    return Answer(_beginning(current, offered))


def _names(option: Argument, current: str) -> Sequence[str]:
    """The long name if there is one: a short one is typed faster than chosen."""
    long = [name for name in option.names if name.startswith("--")]
    return long or option.names if len(current) != 2 or current == "--" else option.names


def _below(walk: _Walk, current: str) -> Answer:
    """Commands, or a command's actions."""
    offered = (Candidate(*pair) for pair in walk.level.below.items() if pair[0] not in _NOT_TYPED)
    return Answer(_beginning(current, offered))


def _operand(walk: _Walk, current: str) -> Answer:
    """The values of the operand at the cursor."""
    operand = _operand_at(walk.level, walk.taken)
    if operand is None:
        return Answer()
    if operand.values == table.PROGRAM:
        return Answer(program=walk.dashes + 1) if walk.dashes else Answer(files=table.FILE)
    return _values_of(operand, current, walk)


def _operand_at(level: Level, taken: int) -> Argument | None:
    """The operand of the next word, after `taken` of them.

    One that takes any number is followed by others, as in `SRC... DST`: it is offered all the time.
    """
    for operand in level.operands:
        if taken < operand.most:
            return operand
        taken -= operand.most
    return None


def _values_of(argument: Argument, current: str, walk: _Walk) -> Answer:
    if argument.choices:
        return Answer(_beginning(current, map(Candidate, argument.choices)))
    if argument.values in {table.FILE, table.FOLDER}:
        return Answer(files=argument.values)
    if argument.values == table.PLACE:
        host, colon, _ = current.partition(":")
        if colon and "/" not in host:
            return Answer()  # a path in the container
        names = _hosts(walk)
        places = [Candidate(f"{item.word}:", item.text, open=True) for item in names]
        return Answer(_beginning(current, places), files=table.FILE)
    if argument.values == table.ASSIGNMENT:
        return _assignment(current)
    found = _hosts(walk) if argument.values in {table.HOST, table.SETTING_OR_HOST} else []
    known = {
        table.SETTING: values.settings,
        table.SETTING_OR_HOST: values.settings,
        table.PROFILE: values.profiles,
        table.REGION: values.regions,
        table.PREFIX: values.prefixes,
    }.get(argument.values)
    found += [Candidate(*pair) for pair in known()] if known else []
    return Answer(_beginning(current, found))


def _assignment(current: str) -> Answer:
    """`NAME=` of a setting, then its values."""
    name, equals, _ = current.partition("=")
    if equals:
        given = (Candidate(f"{name}={value}", text) for value, text in values.of_setting(name))
        return Answer(_beginning(current, given))
    named = (Candidate(f"{known}=", text, open=True) for known, text in values.settings())
    return Answer(_beginning(current, named))


def _hosts(walk: _Walk) -> list[Candidate]:
    found = values.hosts(ended=walk.command in _TAKES_ENDED)
    return [Candidate(name, text) for name, text in found]


def _beginning(current: str, offered: Iterable[Candidate]) -> tuple[Candidate, ...]:
    return tuple(item for item in offered if item.word.startswith(current))
