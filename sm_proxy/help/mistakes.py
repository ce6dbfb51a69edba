"""The text of a usage error about an unknown word."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, Final

from sm_proxy.errors import printable
from sm_proxy.help import described
from sm_proxy.local import suggestion

_SHOWN: Final = 60
_PLAIN: Final = {
    "ssh": "sm-myjob",
    "scp": "sm-myjob:FILE .",
    "sftp": "sm-myjob",
    "rsync": "-a sm-myjob:FOLDER .",
}
"""Programs that need no command of ours, which is the point; and their arguments."""
_SYNONYMS: Final = {
    **dict.fromkeys(("ls", "ps", "jobs", "status"), "list"),
    **dict.fromkeys(("copy", "download", "upload"), "cp"),
    **dict.fromkeys(("code", "open", "cursor"), "vscode"),
    **dict.fromkeys(("init", "install", "configure"), "setup"),
    **dict.fromkeys(("forward", "port-forward", "port"), "tunnel"),
    **dict.fromkeys(("kill", "delete", "terminate"), "stop"),
    **dict.fromkeys(("run", "train", "submit"), "launch"),
    **dict.fromkeys(("check", "diagnose", "debug"), "doctor"),
    **dict.fromkeys(("key", "keygen"), "keys"),
    **dict.fromkeys(("top", "gpu", "nvidia-smi"), "inspect"),
    **dict.fromkeys(("tail", "log"), "logs"),
    "version": "--version",
}
"""What other programs call our commands."""
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def unknown_command(
    parser: argparse.ArgumentParser, typed: str, names: Sequence[str], prefixes: Sequence[str] = ()
) -> str:
    """`unknown command 'lst'. Did you mean `sm-proxy list`?`.

    Args:
        parser: of the program, or of a command with actions.
        typed: by the user.
        names: its commands or actions.
        prefixes: of host names, which are typed after `ssh`.
    """
    is_program = " " not in parser.prog
    what = f"unknown {'command' if is_program else 'action'} {printable(typed, _SHOWN)!r}"
    if is_program and typed in _PLAIN:
        return f"{what}: type it without sm-proxy, as in `{typed} {_PLAIN[typed]}`"
    is_host = _HOST.fullmatch(typed) and typed.startswith(tuple(prefixes))
    if is_program and is_host and typed != parser.prog:
        return _joined(what, suggestion.question([f"ssh {typed}"]))
    if is_program and typed in _SYNONYMS:
        typed = _SYNONYMS[typed]
        names = [typed]
    return _joined(what, suggestion.sentence(typed, names, f"{parser.prog} "))


def wrong_choice(typed: Any, choices: Sequence[Any]) -> str:
    """`'s4' is not one of auto, ssh, s3. Did you mean `s3`?`."""
    names = [str(choice) for choice in choices]
    found = suggestion.sentence(str(typed), names)
    return _joined(f"{printable(str(typed), _SHOWN)!r} is not one of {', '.join(names)}", found)


def option_before(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """What is wrong with the options before the command's name; empty if nothing is.

    argparse reads on after an unknown option, and takes its value for the command.

    Args:
        parser: of the program.
        words: after the program's name.
    """
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "--":
            break
        name, equals, _ = word.partition("=")
        known = described.arguments(parser)
        item = next((each for each in known if name in each.option_strings), None)
        if item is None:
            more = "Options of a command stand after its name" if next(rest, "") else ""
            told = unknown_arguments(parser, [name])
            return told if told.endswith("?") else _joined(told, more)
        if item.nargs is None and not equals:
            next(rest, None)
    return ""


def unknown_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """`unknown option --wiat. Did you mean `--wait`?`; only the first word that is wrong.

    An option's value is not shown: it may be a secret.
    """
    word = next((word for word in words if word.startswith("-") and word != "--"), words[0])
    name = word.partition("=")[0]
    shown = printable(name, _SHOWN)
    if not name.startswith("-"):
        return f"unexpected argument {shown!r}"
    names = [known.removeprefix("--") for known in described.option_names(parser)]
    found = suggestion.sentence(name.lstrip("-"), names, "--")
    return _joined(f"unknown option {shown}", found)


def _joined(what: str, found: str) -> str:
    return f"{what}. {found}" if found else what
