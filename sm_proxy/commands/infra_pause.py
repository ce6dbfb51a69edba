"""`sm-proxy infra pause`: ends the bastion, and keeps everything else."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Final

from sm_proxy.commands import infra_options, infra_run, options
from sm_proxy.commands.infra_run import Run
from sm_proxy.commands.interruptible import Interruptible
from sm_proxy.infra import costs, deploy, events, in_use, pause
from sm_proxy.infra import stack as stacks
from sm_proxy.infra.stack import Stack
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings

DESCRIPTION: Final = (
    "Ends the bastion, and keeps everything else. The bastion is not billed until `infra resume`;"
    " a NAT gateway is."
)
EXAMPLES: Final = (("sm-proxy infra pause", "overnight, for instance"),)
USES: Final = options.USES_AWS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`infra pause [--stack NAME] [--timeout D] [--json]`."""
    infra_options.add_stack(parser)
    infra_run.add_arguments(parser, asks=False)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Let the bastion's group have no instance; data: `{"stack", "paused", "changed", "jobs"}`."""
    with Interruptible("nothing has begun") as left:
        run = Run.of(args, settings, left)
        found = run.settled()
        pause.refuse_unless_settled(found)
        jobs = in_use.jobs(run.aws, found.output("Subnets").split(","), output.status)
        if jobs and not found.paused:
            named = ", ".join(f"{job.noun} {job.name}" for job in jobs)
            output.status(f"these jobs continue without a bastion: {named}")
        changed = set_count(run, found, 0)
    data = {
        "stack": run.name,
        "paused": True,
        "changed": changed,
        "jobs": [job.name for job in jobs],
    }
    done = "is paused" if changed else "was paused already"
    words = f"the bastion of {run.name} {done}; `sm-proxy infra resume` starts one"
    return Result(data, (f"{words}{_still_billed(run, found)}",))


def set_count(run: Run, stack: Stack, count: int) -> bool:
    """Set the size of the bastion's group; returns whether that changed anything.

    Raises:
        SmProxyError: as `pause.set_count` and `Run.succeeded`.
    """
    last = events.newest(run.aws, stack.id)
    changed = pause.set_count(run.aws, stack, count)
    if changed:
        run.completed(replace(stack, status="UPDATE_IN_PROGRESS"), last)
    return changed


def _still_billed(run: Run, stack: Stack) -> str:
    """What a paused stack goes on to cost: most of it, if it has a NAT gateway."""
    plan = deploy.recorded_if_clear(
        stacks.template(run.aws, stack.name), run.aws.region, stack.name
    )
    if plan is None:
        return ""
    cost = costs.of(plan, bastions=0)
    return f". The rest still costs {cost.text}" if cost.lines else ""
