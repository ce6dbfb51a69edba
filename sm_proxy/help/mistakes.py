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
_LIKE_SSH: Final = frozenset({"attach", "enter", "exec", "session", "shell", "start-session"})
"""What other programs call a command that is `ssh` here."""
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
    **dict.fromkeys(("describe", "info", "show"), "resolve"),
    **dict.fromkeys(("auth", "configure-sso", "sso"), "login"),
    "config-ssh": "config write",
    "deploy": "infra deploy",
    "policy": "infra policy",
    **dict.fromkeys(("build", "push"), "image build"),
    **dict.fromkeys(("get", "set"), "settings"),
    **dict.fromkeys(("remove", "purge"), "uninstall"),
    **dict.fromkeys(("version", "-v", "-V"), "--version"),
}
"""What other programs call our commands."""
_ACTIONS: Final = {
    "config": {
        **dict.fromkeys(("delete", "uninstall"), "config remove"),
        **dict.fromkeys(("edit", "get", "list", "ls", "set", "unset"), "settings"),
        **dict.fromkeys(("install", "ssh", "update"), "config write"),
    },
    "infra": {
        **dict.fromkeys(("apply", "create", "up", "update"), "infra deploy"),
        **dict.fromkeys(("describe", "list", "ls", "show"), "infra status"),
        **dict.fromkeys(("destroy", "down", "remove"), "infra delete"),
    },
    "image": dict.fromkeys(("create", "push"), "image build"),
    "keys": {
        **dict.fromkeys(("delete", "remove", "rm"), "keys revoke"),
        **dict.fromkeys(("add", "upload"), "keys push"),
        **dict.fromkeys(("create", "new"), "keys rotate"),
        "ls": "keys list",
    },
}
"""What other programs call our actions, by command."""
_OTHER_SHELLS: Final = frozenset(
    {"cmd", "csh", "elvish", "ksh", "nu", "powershell", "pwsh", "tcsh"}
)
_WORD: Final = re.compile(r"[A-Za-z0-9_./:@%+,-]{1,100}")
"""A word that a message shows as it was typed: no shell changes it."""
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def unknown_command(
    parser: argparse.ArgumentParser,
    typed: str,
    names: Sequence[str],
    prefixes: Sequence[str] = (),
    after: Sequence[str] = (),
) -> str:
    """`unknown command 'lst'. Did you mean `sm-proxy list`?`.

    Args:
        parser: of the program.
        typed: by the user.
        names: its commands.
        prefixes: of host names, which are typed after `ssh`.
        after: the words after it.
    """
    what = f"unknown command {printable(typed, _SHOWN)!r}"
    hosts = tuple(prefixes)
    is_plain = all(map(_WORD.fullmatch, after))
    if typed in _PLAIN:
        names_host = any(word.rpartition("@")[2].startswith(hosts) for word in after)
        if is_plain and names_host:
            return _joined(what, suggestion.question([f"{typed} {' '.join(after)}"]))
        return f"{what}: type it without sm-proxy, as in `{typed} {_PLAIN[typed]}`"
    if typed in _LIKE_SSH:
        names_host = bool(after) and after[0].startswith(hosts)
        words = " ".join(after) if is_plain and names_host else _PLAIN["ssh"]
        return _joined(what, suggestion.question([f"ssh {words}"]))
    if _HOST.fullmatch(typed) and typed.startswith(hosts) and typed != parser.prog:
        return _joined(what, suggestion.question([f"ssh {typed}"]))
    if typed in _SYNONYMS:
        return _joined(what, suggestion.question([f"{parser.prog} {_SYNONYMS[typed]}"]))
    return _joined(what, suggestion.sentence(typed, names, f"{parser.prog} "))


def unknown_action(parser: argparse.ArgumentParser, typed: str, names: Sequence[str]) -> str:
    """`unknown action 'shwo'. Did you mean `sm-proxy config show`?`.

    Args:
        parser: of a command with actions.
        typed: by the user.
        names: its actions.
    """
    program, _, command = parser.prog.partition(" ")
    what = f"unknown action {printable(typed, _SHOWN)!r}"
    if command == "completion" and typed.lower() in _OTHER_SHELLS:
        return f"{what}: only bash, zsh and fish have completion"
    if meant := _ACTIONS.get(command, {}).get(typed):
        return _joined(what, suggestion.question([f"{program} {meant}"]))
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
    if " " not in parser.prog and (meant := _SYNONYMS.get(name)):
        return _joined(f"unknown option {shown}", suggestion.question([f"{parser.prog} {meant}"]))
    names = [known.removeprefix("--") for known in described.option_names(parser)]
    found = suggestion.sentence(name.lstrip("-"), names, "--")
    return _joined(f"unknown option {shown}", found)


def _joined(what: str, found: str) -> str:
    return f"{what}. {found}" if found else what
