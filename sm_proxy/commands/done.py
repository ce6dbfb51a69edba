"""`sm-proxy done`: ends containers that are kept, on one node or on all nodes."""

from __future__ import annotations

import argparse

from sm_proxy.commands import go
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`done HOST [--json]`: as for `go`."""
    go.add_arguments(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """End the keeping; if the program still runs, the container will not be kept after it."""
    return go.end_window("done", args, settings)
