"""Put the options that the user gave to this command into the commands that we advise.

A text such as `Find out why with: sm-proxy doctor sm-myjob` is written where the failure is known.
Only `cli` knows what the user typed, and a command without `--profile` would look at another
account. So the options are put in where the text is shown: see `output.complete_commands`.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeAlias

from sm_proxy.errors import printable
from sm_proxy.help import described
from sm_proxy.local.redaction import redact

ParserOf: TypeAlias = Callable[[str], "argparse.ArgumentParser | None"]
"""Returns the parser of a command by its name; None if there is no such command."""
_COMMAND: Final = re.compile(
    r"(?<![\w./-])sm-proxy ([a-z][a-z-]*)(?: (?!sm-proxy )([a-z][a-z-]*))?"
)
_END: Final = re.compile(r"`|, then |; |(?<![\w./-])sm-proxy ")
"""What ends a command in a sentence, if it is not the sentence's end."""


def given(words: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """The options among the words of a command line, with their values as they were typed.

    Args:
        words: after `sm-proxy`, and before `--`.
        names: of the options that are looked for, each of which takes a value, with their dashes.
    """
    found = {}
    for number, word in enumerate(words):
        name, is_whole, value = word.partition("=")
        if name in names and (is_whole or words[number + 1 :]):
            found[name] = value if is_whole else words[number + 1]
    return found


def completed(text: str, options: Mapping[str, str], parser_of: ParserOf) -> str:
    """The text, in which each command has those of the options that it takes.

    They stand behind the command's name: where a command ends in a sentence cannot be told.

    Args:
        text: one or more sentences.
        options: as from `given`. They are shown without secrets and control characters.
        parser_of: has the actions and options of each command.
    """

    def put_in(match: re.Match[str]) -> str:
        parser, end = parser_of(match[1]), match.end(1)
        if parser is not None and (actions := described.subcommands(parser)):
            parser, end = actions.get(match[2]), match.end(2)
        if parser is None:
            return match[0]
        known = described.shown_options(parser)
        after = _END.search(text, end)
        rest = text[end : after.start() if after else len(text)]
        added = [
            f" {name} {shlex.quote(printable(redact(value)))}"
            for name, value in options.items()
            if name in known and not re.search(rf"(?<!\S){name}\b", rest)
        ]
        return "".join([text[match.start() : end], *added, text[end : match.end()]])

    return _COMMAND.sub(put_in, text)
