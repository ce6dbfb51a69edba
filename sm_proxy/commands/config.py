"""`sm-proxy config`: write, show, check or remove the managed part of the ssh config."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from sm_proxy import config_writer
from sm_proxy.commands import options, unknown_names
from sm_proxy.config_writer import Change, Problem
from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write, layout, paths
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings, contexts, flags_of, sources
from sm_proxy.ssh_config import our_file, requested

DESCRIPTION: Final = (
    "Manages our part of your ssh config: one Include at its top, and our own file with a "
    "Host block. `setup` does this too; here are its parts."
)
EXAMPLES: Final = (
    ("sm-proxy config write", "after an update of sm-proxy or ssh"),
    ("sm-proxy config check", "is our ssh config up to date?"),
)
USES: Final = ()
_OF_FILES: Final = ("prefix", "ssh_dir")
_BLOCK_OPTIONS: Final = (
    *("user", "identity_file", "identity_agent", "wait"),
    *("compression", "control_master", "fdpass"),
)
_ACTIONS: Final[dict[str, dict[str, Any]]] = {
    "write": {
        "help": "write our Host block and one Include at the top of the ssh config",
        "description": "Writes our Host block, and one Include at the top of your ssh config. Each"
        " prefix keeps its own account, region and options; options that you leave out stay.",
        "examples": (
            ("sm-proxy config write", "after an update of sm-proxy or ssh"),
            ("sm-proxy config write --prefix eu- --profile eu", "names such as eu-myjob"),
            ("sm-proxy config write --user ubuntu --dry-run", "show the change only"),
        ),
        "uses": options.USES_BLOCK,
    },
    "show": {
        "help": "print the Host block",
        "description": "Prints the Host block that `write` would write with the same options, and"
        " writes nothing. To see what ssh gets, or to copy it elsewhere.",
        "examples": (("sm-proxy config show", "the block for sm-*"),),
        "uses": options.USES_BLOCK,
        "hides": ("dry_run",),
    },
    "check": {
        "help": "compare the files with what `write` would write",
        "description": "Compares our block and its Include with what `write` would write. Exit"
        " status 0 means that all is up to date.",
        "examples": (("sm-proxy config check", "for a script, or after an update"),),
        "uses": _OF_FILES,
        "hides": ("dry_run", *_BLOCK_OPTIONS),
    },
    "remove": {
        "help": "remove what `write` added, and nothing else",
        "description": "Removes what `write` added to your ssh config, and nothing else.",
        "examples": (
            ("sm-proxy config remove --dry-run", "show what would go"),
            ("sm-proxy config remove --prefix eu-", "one prefix only"),
        ),
        "uses": _OF_FILES,
        "hides": _BLOCK_OPTIONS,
    },
}
"""What `add_parser` takes for each action. Options that an action does not use are accepted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`config write|show|check|remove [--ssh-config PATH] [--dry-run]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    for name, shown in _ACTIONS.items():
        action = actions.add_parser(name, **shown)
        options.add_ssh_config(action)
        action.add_argument("--dry-run", action="store_true", help="print a diff, write nothing")
        options.add_json(action)
        options.add_identity(action)
        options.add_wait(action)
        options.add_compression(action)
        action.add_argument(
            "--control-master",
            action=argparse.BooleanOptionalAction,
            default=None,
            help="let later connections share the first one (default: off)",
        )
        action.add_argument(
            "--fdpass",
            action=argparse.BooleanOptionalAction,
            default=None,
            help="let no timeout of ssh end the wait for a starting job (default: on, but not on "
            "Windows)",
        )


load_settings = sources.load_without_contexts


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Plan the change, then print it or carry it out."""
    flags = flags_of(args)
    ssh_config = Path(args.ssh_config) if args.ssh_config else paths.user_ssh_config()
    if args.action == "remove":
        return _carried_out(args, lambda: _removal(ssh_config, settings, flags))

    def plan() -> list[Change]:
        return config_writer.plan_requested(ssh_config, settings, flags)

    if args.action == "show":
        block = (plan()[0].after or b"").decode()
        return Result({"block": block}, block)
    if args.action == "check":
        return _checked(plan(), ssh_config)
    unknown_names.report(flags.get("profile"), flags.get("region"))
    if not args.dry_run:
        requested.prepare(settings, flags)
    return _carried_out(args, plan)


def _removal(ssh_config: Path, settings: Settings, flags: Mapping[str, Any]) -> list[Change]:
    """Everything that we wrote; with `--prefix` only that context."""
    known = contexts.read(settings.ssh_config_file) if flags.get("prefix") else {}
    if flags.get("prefix") and settings.prefix not in known:
        return []
    known.pop(settings.prefix, None)
    if not known:
        return config_writer.plan_removal(ssh_config, settings)
    base = replace(sources.from_file(), ssh_dir=settings.ssh_dir)
    return config_writer.plan(ssh_config, base, our_file.own_program(), known)


def _carried_out(args: argparse.Namespace, plan: Callable[[], list[Change]]) -> Result:
    if args.dry_run:
        changes = plan()
        shown = "".join(change.diff() for change in changes)
        return Result(_data(changes), partial(layout.coloured_diff, shown))
    changes = config_writer.carry_out(plan)
    done = [_message(change) for change in changes if change.needed]
    return Result(_data(changes), tuple(done) or "nothing to do")


def _message(change: Change) -> str:
    kept = change.keep and change.before is not None
    where = f" (backup: {atomic_write.backup_path(change.path, 'latest')})" if kept else ""
    done = "removed" if change.after is None else "wrote"
    return f"{done} {change.path}{where}"


def _checked(changes: list[Change], ssh_config: Path) -> Result:
    found = config_writer.problems(changes, ssh_config)
    data = {**_data(changes), "findings": [{"what": item.what, "fix": item.fix} for item in found]}
    return Result(
        data,
        tuple(_lines(found)),
        exit_status=1 if found else 0,
        failure=_failure(found),
        text_has_failure=True,
    )


def _lines(found: Sequence[Problem]) -> list[str]:
    return [f"{item.what}. {item.fix}" for item in found] or ["up to date"]


def _failure(found: Sequence[Problem]) -> SmProxyError | None:
    if not found:
        return None
    more = f", and {len(found) - 1} more" if found[1:] else ""
    return SmProxyError("config-malformed", found[0].what + more, found[0].fix)


def _data(changes: list[Change]) -> dict[str, object]:
    return {
        "files": [{"path": str(item.path), "changed": item.needed} for item in changes],
    }
