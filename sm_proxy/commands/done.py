"""`sm-proxy done`: end the time that a container is kept, on one node or on all of them."""

from __future__ import annotations

import argparse

from sm_proxy.commands import go
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`done HOST [--json]`: as for `go`."""
    go.add_arguments(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """End the keeping; before the program has ended: see to it that nothing is kept."""
    return go.end_window("done", args, settings)
