"""Commands in what we advise, with the options that the user gave to this one.

A text such as `Find out why with: sm-proxy doctor sm-myjob` is written where the failure is known.
What the user typed is known elsewhere, and a command without `--profile` would look at another
account. So the options are put in where the text is shown: see `output.complete_commands`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeAlias

OptionsOf: TypeAlias = Callable[[str, str], "tuple[int, Collection[str]]"]
"""Takes two words after `sm-proxy`; returns how many of them name a command, and its options."""
_COMMAND: Final = re.compile(r"(?<![\w./-])sm-proxy ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")
_END: Final = re.compile(r"`|, then |; |(?<![\w./-])sm-proxy ")
"""What ends a command in a sentence, if it is not the sentence's end."""


def given(words: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """The options among the words of a command line, with their values as they were typed.

    Args:
        words: after `sm-proxy`; those after `--` are another program's.
        names: of the options that are looked for, each of which takes a value, with their dashes.
    """
    own = list(words[: words.index("--")] if "--" in words else words)
    found = {}
    for number, word in enumerate(own):
        name, is_whole, value = word.partition("=")
        if name in names and (is_whole or own[number + 1 :]):
            found[name] = value if is_whole else own[number + 1]
    return found


def completed(text: str, options: Mapping[str, str], options_of: OptionsOf) -> str:
    """The text, in which each command has those of the options that it takes.

    They stand behind the command's name: where a command ends in a sentence cannot be told.

    Args:
        text: one or more sentences.
        options: as from `given`.
        options_of: says what is a command.
    """

    def put_in(match: re.Match[str]) -> str:
        count, known = options_of(match[1], match[2] or "")
        if not count:
            return match[0]
        end = match.end(count)
        rest = _END.split(text[end:], maxsplit=1)[0]
        added = [
            f" {name} {shlex.quote(value)}"
            for name, value in options.items()
            if name in known and not re.search(rf"(?<!\S){name}\b", rest)
        ]
        return "".join([text[match.start() : end], *added, text[end : match.end()]])

    return _COMMAND.sub(put_in, text)
