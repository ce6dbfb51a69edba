"""`sm-proxy done`: ends containers that are kept, on one node or on all nodes."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy.commands import go, options
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings

DESCRIPTION: Final = (
    "Ends a container that is kept for you after its program has failed "
    "(SM_PROXY_KEEP_FAILURE). The job then ends as it would have."
)
EXAMPLES: Final = (
    ("sm-proxy done sm-myjob", "all nodes"),
    ("sm-proxy done sm-myjob.algo-2", "one node"),
)
USES: Final = options.USES_SSH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`done HOST [--json]`: as for `go`."""
    go.add_arguments(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """End the keeping; if the program still runs, the container will not be kept after it."""
    return go.end_window("done", args, settings)
