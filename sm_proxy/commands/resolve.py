"""`sm-proxy resolve`: finds the container of a host name and its routes, without connecting."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Final

from sm_proxy import resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.errors import printable
from sm_proxy.jobs.container import Container
from sm_proxy.local import layout, output
from sm_proxy.local.layout import Cell
from sm_proxy.local.output import Result
from sm_proxy.local.screen import Screen
from sm_proxy.routes import table as routes
from sm_proxy.routes.table import Choice
from sm_proxy.settings import Settings
from sm_proxy.settings.route_names import AUTO

DESCRIPTION: Final = (
    "Shows the job, node, address, route and host keys that a host name stands for. It sends "
    "nothing to the container."
)
EXAMPLES: Final = (
    ("sm-proxy resolve sm-myjob", "which way ssh would go, and why"),
    ("sm-proxy resolve sm-myjob.algo-2 --json", "another node, for a script"),
)
USES: Final = options.USES_SSH


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
    choice = routes.judge(container, settings, aws)
    text = partial(_text, container, choice, settings.route)
    return Result({**container.as_data(), **choice.as_data()}, text)


def _text(container: Container, choice: Choice, asked: str, screen: Screen) -> str:
    """One row for each member of the data, and one for each route."""
    none = "none works" if asked == AUTO else f"none: you asked for {asked}, which does not work"
    found = {
        **container.as_data(),
        "host_keys": "\n".join(container.host_keys) or None,
        "route": choice.route or none,
    }
    rows: list[tuple[Cell | str, str]] = [(name, _shown(value)) for name, value in found.items()]
    for item in choice.as_data()["routes"]:
        can = "usable" if item["usable"] else "not usable"
        label = Cell(f"  {item['name']}", "good" if item["usable"] else None)
        rows.append((label, f"{can}: {item['reason']}"))
    return "\n".join(layout.pairs(rows, screen))


def _shown(value: object) -> str:
    return "none" if value is None else "\n".join(map(printable, str(value).split("\n")))
