"""What a usage error says about a word that no parser knows."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

from sm_proxy.errors import printable
from sm_proxy.help import described, suggestion

_SHOWN: Final = 60


def unknown_command(parser: argparse.ArgumentParser, typed: str, names: Sequence[str]) -> str:
    """`unknown command 'lst'. Did you mean `sm-proxy list`?`.

    Args:
        parser: of the program, or of a command with actions.
        typed: by the user.
        names: its commands or actions.
    """
    noun = "action" if " " in parser.prog else "command"
    found = suggestion.sentence(typed, names, f"{parser.prog} ")
    return _joined(f"unknown {noun} {printable(typed, _SHOWN)!r}", found)


def wrong_choice(typed: Any, choices: Sequence[Any]) -> str:
    """`'s4' is none of auto, ssh, s3. Did you mean `s3`?`."""
    names = [str(choice) for choice in choices]
    found = suggestion.sentence(str(typed), names)
    return _joined(f"{printable(str(typed), _SHOWN)!r} is none of {', '.join(names)}", found)


def unknown_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """`unknown option --wiat. Did you mean `--wait`?`; only the first word that is wrong.

    An option's value is not shown: it may be a secret.
    """
    word = next((word for word in words if word.startswith("-") and word != "--"), words[0])
    name = word.partition("=")[0]
    shown = printable(name, _SHOWN)
    if not name.startswith("-"):
        return f"unexpected argument {shown!r}"
    found = suggestion.sentence(name, described.option_names(parser))
    return _joined(f"unknown option {shown}", found)


def _joined(what: str, found: str) -> str:
    return f"{what}. {found}" if found else what
