"""`sm-proxy config`: write, show, check or remove the managed part of the ssh config."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from sm_proxy import config_writer, paths
from sm_proxy import settings as settings_module
from sm_proxy.config_writer import Change
from sm_proxy.keys import identity
from sm_proxy.output import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`config write|show|check|remove [--ssh-config PATH] [--dry-run]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    for name, text in _ACTIONS.items():
        action = actions.add_parser(name, help=text)
        action.add_argument("--ssh-config", metavar="PATH", help="instead of ~/.ssh/config")
        action.add_argument("--dry-run", action="store_true", help="print a diff, write nothing")
        action.add_argument("--json", action="store_true", help="one JSON envelope on stdout")
        action.add_argument("--user", help="user to log in as (root)")
        action.add_argument("--identity-file", metavar="PATH", help="your own key")
        action.add_argument("--wait", type=int, metavar="S", help="wait for a starting job (900)")


_ACTIONS = {
    "write": "write our Host block and one Include at the top of the ssh config",
    "show": "print the Host block",
    "check": "say whether what stands there is what would be written",
    "remove": "take out what we added, and nothing else",
}


def run(args: argparse.Namespace) -> Result:
    """Plan the change, then print it or carry it out."""
    settings = settings_module.load(settings_module.flags_of(args))
    ssh_config = Path(args.ssh_config) if args.ssh_config else paths.user_ssh_config()
    if args.action == "show":
        block = config_writer.host_block(settings, config_writer.own_program())
        return Result({"block": block}, block)
    if args.action == "remove":
        return _carried_out(args, lambda: config_writer.planned_removal(ssh_config, settings))
    program = config_writer.own_program()
    if args.action == "check":
        return _checked(config_writer.planned(ssh_config, settings, program))
    if not args.dry_run:
        identity.ensure(settings)
    return _carried_out(args, lambda: config_writer.planned(ssh_config, settings, program))


def _carried_out(args: argparse.Namespace, plan: Callable[[], list[Change]]) -> Result:
    if args.dry_run:
        changes = plan()
        return Result(_data(changes), "".join(change.diff() for change in changes))
    with config_writer.exclusive():
        changes = plan()
        config_writer.apply(changes)
    done = [str(change.path) for change in changes if change.needed]
    return Result(_data(changes), "\n".join(f"wrote {path}" for path in done) or "nothing to do")


def _checked(changes: list[Change]) -> Result:
    stale = [str(change.path) for change in changes if change.needed]
    text = "\n".join(f"out of date: {path}" for path in stale) or "up to date"
    return Result(_data(changes), text, exit_status=1 if stale else 0)


def _data(changes: list[Change]) -> dict[str, object]:
    return {
        "files": [{"path": str(item.path), "changed": item.needed} for item in changes],
    }
