"""`sm-proxy resolve`: finds the container of a host name, without connecting."""

from __future__ import annotations

import argparse

from sm_proxy import resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`resolve HOST [--wait DURATION] [--json]`."""
    options.add_host(parser)
    parser.add_argument(
        "--wait",
        type=options.duration,
        metavar="DURATION",
        help="how long to wait for a starting job (default: 0s)",
    )
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Find the container; waits only with `--wait`."""
    target = options.target_of(args, settings)
    aws = Aws(settings.profile, settings.region)
    container = resolver.resolve(
        target, settings, aws, wait=args.wait or 0, on_status=output.status
    )
    data = container.as_data()
    shown = {**data, "host_keys": ", ".join(container.host_keys) or "none"}
    return Result(data, "\n".join(f"{name:10} {value}" for name, value in shown.items()))
