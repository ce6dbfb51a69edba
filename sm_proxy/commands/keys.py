"""`sm-proxy keys`: the public key that a job has to let in."""

from __future__ import annotations

import argparse

from sm_proxy import settings as settings_module
from sm_proxy.keys import identity
from sm_proxy.output import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`keys show [--env] [--ssh-config PATH] [--json]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    show = actions.add_parser("show", help="print the public key, made now if there is none")
    show.add_argument(
        "--env", action="store_true", help="as NAME=VALUE for the Environment of a job request"
    )
    show.add_argument("--json", action="store_true", help="one JSON envelope on stdout")
    show.add_argument("--identity-file", metavar="PATH", help="your own key instead of ours")
    show.add_argument("--ssh-config", metavar="PATH", help="the config file the key goes with")


def run(args: argparse.Namespace) -> Result:
    """Show the identity's public key."""
    key = identity.ensure(settings_module.load(settings_module.flags_of(args)))
    environment = key.environment() if args.env else {}
    data = {"path": str(key.path), "public_key": key.public_key, "environment": environment}
    lines = [f"{name}={value}" for name, value in environment.items()]
    return Result(data, "\n".join(lines) if args.env else key.public_key)
