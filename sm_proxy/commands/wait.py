"""`sm-proxy wait`: until a job's container can be reached, for clients with a short timeout."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.inventory import trial
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings

DESCRIPTION: Final = (
    "Waits until ssh can reach a job, a Studio space or a node, and then exits with status 0."
    " For scripts, and for programs that give up before a job has started."
)
EXAMPLES: Final = (
    ("sm-proxy wait sm-myjob && ssh sm-myjob", "a job that is starting"),
    ("sm-proxy wait sm-myjob --timeout 1h", "give up after an hour"),
)
USES: Final = options.USES_SSH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`wait HOST [--timeout DURATION] [--json]`."""
    options.add_host(parser)
    options.add_timeout(parser)
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Wait until `ssh` would reach the container; the data are those of `resolve`."""
    target = options.target_of(args, settings)
    aws = Aws(settings.profile, settings.region)
    with trial.no_session_left_open():
        found = trial.wait_until_answering(target, settings, aws, args.timeout, output.status)
    where = f"{found.job} {found.node} at {found.place}"
    # Without a log, the user is the one that our ssh config names.
    other = found.source is not None and found.user not in {None, settings.user}
    login = f"; log in as {found.user}@{args.host}" if other else ""
    return Result(found.as_data(), (f"ready: {args.host} is {where} ({found.status}){login}",))
