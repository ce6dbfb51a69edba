"""`sm-proxy infra resume`: starts a bastion again after `infra pause`."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy.commands import infra_options, infra_run, options
from sm_proxy.commands.infra_pause import set_count
from sm_proxy.commands.infra_run import Run
from sm_proxy.commands.interruptible import Interruptible
from sm_proxy.infra import bastion, pause
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings

DESCRIPTION: Final = (
    "Starts a bastion again after `infra pause`, and waits until Session Manager reaches it."
)
EXAMPLES: Final = (("sm-proxy infra resume", "takes some minutes"),)
USES: Final = options.USES_AWS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`infra resume [--stack NAME] [--timeout D] [--json]`."""
    infra_options.add_stack(parser)
    infra_run.add_arguments(parser, asks=False)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Let the group launch a bastion, and wait until SSM reaches it.

    Data: `{"stack", "paused", "changed", "bastion"}`.
    """
    with Interruptible("nothing has begun") as left:
        run = Run.of(args, settings, left)
        found = run.settled()
        pause.refuse_unless_settled(found)
        changed = set_count(run, found, 1)
        left.words = f"the bastion is starting; to wait for it: {run.again}"
        up = bastion.wait_until_online(
            run.aws, found.output("Bastion"), run.deadline, output.status, run.again
        )
    data = {"stack": run.name, "paused": False, "changed": changed, "bastion": up.as_data}
    return Result(data, (f"the bastion of {run.name} is {up.words}",))
