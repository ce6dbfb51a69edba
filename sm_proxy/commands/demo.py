"""`sm-proxy demo`: an ssh connection from start to end, inside the lab."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy.commands.lab import require_extra
from sm_proxy.settings import Settings, sources

DESCRIPTION: Final = (
    "Starts a job on an AWS that is simulated on this machine, and connects to it with ssh, scp and"
    " rsync. It needs no AWS account, but the packages of sm-proxy[lab]."
)
EXAMPLES: Final = (("sm-proxy demo", "shows each command and what it prints"),)
USES: Final = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`demo [--network netns|loopback]`."""
    parser.add_argument(
        "--network",
        choices=("netns", "loopback"),
        help="network namespaces, or loopback only (default: netns where permitted)",
    )


load_settings = sources.load_nothing


def run(args: argparse.Namespace, _: Settings) -> int:
    """Run the demo inside its own lab; exit status 0 only if every step worked."""
    require_extra()
    from sm_proxy_lab import run as lab_run  # noqa: PLC0415 - an optional extra
    from sm_proxy_lab.python import python_module  # noqa: PLC0415

    parser = argparse.ArgumentParser()
    lab_run.add_arguments(parser)
    network = ["--network", args.network] if args.network else []
    program = python_module("sm_proxy_lab.demo")
    return lab_run.main(parser.parse_args([*network, "--", *program]))
