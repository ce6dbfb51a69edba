"""`sm-proxy infra status`: the stack, its bastion, the jobs in its network, its cost and drift."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import infra_options, options
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.infra import bastion, costs, deploy, drift, events, in_use
from sm_proxy.infra import stack as stacks
from sm_proxy.infra.bastion import Bastion
from sm_proxy.infra.drift import Drift
from sm_proxy.infra.plan import Plan
from sm_proxy.infra.stack import Stack
from sm_proxy.jobs.job import Job
from sm_proxy.local import layout, output
from sm_proxy.local.output import Result
from sm_proxy.local.screen import Screen
from sm_proxy.settings import Settings, durations
from sm_proxy.settings.deadline import Deadline

_TIMEOUT_S = 10 * 60

DESCRIPTION: Final = (
    "Shows the stack, its bastion, its cost and the jobs in its network. The exit status is 0"
    " if jobs can use it now."
)
EXAMPLES: Final = (
    ("sm-proxy infra status", "takes some seconds"),
    ("sm-proxy infra status --drift", "also what others have changed"),
)
USES: Final = options.USES_AWS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`infra status [--stack NAME] [--drift] [--price NAME=USD] [--timeout D] [--json]`."""
    infra_options.add_stack(parser)
    parser.add_argument(
        "--drift",
        action="store_true",
        help="also let CloudFormation look for what others have changed: takes some minutes",
    )
    infra_options.add_prices(parser)
    parser.add_argument(
        "--timeout",
        type=options.duration,
        metavar="DURATION",
        default=_TIMEOUT_S,
        help=f"how long --drift may take (default: {durations.form(_TIMEOUT_S)})",
    )
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Show the stack; exit status 0 only if jobs can use it now: it is whole, its bastion online.

    Data: `{"stack", "region", "status", "reason", "usable", "plan", "outputs", "bastion", "cost",
    "jobs", "drift"}`; `drift` is null without `--drift`.

    Raises:
        SmProxyError: `no-stack`; as the calls.
    """
    aws = Aws(settings.profile, settings.region)
    stack = stacks.existing(aws, stacks.checked_name(args.stack))
    plan = deploy.recorded_if_clear(stacks.template(aws, stack.name), aws.region, stack.name)
    group = stack.outputs.get("Bastion")
    found = bastion.look(aws, group) if group else None
    subnets = stack.outputs.get("Subnets", "")
    jobs = in_use.jobs(aws, filter(None, subnets.split(",")), output.status)
    drifted = None
    if args.drift and not stack.busy:
        drifted = drift.detect(aws, stack.name, Deadline(args.timeout), output.status)
    # Some credentials may not ask SSM; then we assume that the bastion is online.
    serves = found is not None and found.instance and (found.online or found.ping is None)
    usable = stack.usable and bool(serves)
    cost = None
    if plan and (found or stack.status == "CREATE_IN_PROGRESS"):
        cost = costs.of(plan, dict(args.price), bastions=min(found.wanted or 0, 1) if found else 1)
    why = _why(aws, stack)
    data = {
        "stack": stack.name,
        "region": aws.region,
        "status": stack.status,
        "reason": why,
        "usable": usable,
        "plan": plan.as_data() if plan else None,
        "outputs": dict(stack.outputs),
        "bastion": found.as_data if found else None,
        "cost": cost.as_data if cost else None,
        "jobs": [{"job": job.name, "kind": job.kind, "status": job.status} for job in jobs],
        "drift": None if drifted is None else [item.as_data for item in drifted],
    }
    rows = _rows(aws, stack, plan, found, why)
    rows += [("cost", cost.text)] if cost else []
    rows += [("job", _of_job(job)) for job in jobs] or [("jobs", "none in its network")]
    rows += _of_drift(drifted)
    rows += [("output", f"{name} = {value}") for name, value in stack.outputs.items()]
    text = partial(_text, rows)
    return Result(data, text, exit_status=0 if usable else 1)


def _text(rows: Sequence[tuple[str, str]], screen: Screen) -> str:
    return "\n".join(layout.pairs(((name, printable(value)) for name, value in rows), screen))


def _why(aws: Aws, stack: Stack) -> str:
    """Why the last operation failed; else empty."""
    if not stack.failed:
        return ""
    try:
        shown = events.of_operation(aws, stack.id)
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        return stack.reason
    return events.failure(stack.name, stack.status, shown, stack.reason).message


def _rows(
    aws: Aws, stack: Stack, plan: Plan | None, found: Bastion | None, why: str
) -> list[tuple[str, str]]:
    rows = [("stack", f"{stack.name} in {aws.region}: {stack.status}")]
    if why:
        rows.append(("reason", why))
    if stack.busy:
        watched = output.completed("`sm-proxy infra deploy` shows its events")
        rows.append(("", f"CloudFormation works on it; {watched}"))
    if plan is not None:
        rows.append(("plan", _of_plan(plan)))
    if found is None:
        return [*rows, ("bastion", "none")]
    until = f"; replaced by {found.replaced_by:%Y-%m-%d}" if found.replaced_by else ""
    rows.append(("bastion", f"{found.words}{until}"))
    return rows


def _of_plan(plan: Plan) -> str:
    kept = f"bastion {plan.bastion_type}, replaced every {plan.bastion_days} days"
    endpoints = ", ".join(plan.endpoints) or "none"
    if plan.existing is not None:
        subnets = ", ".join(plan.existing.subnets)
        return f"in {plan.existing.vpc_id} ({subnets}); endpoints: {endpoints}; {kept}"
    zones = ", ".join(plan.zones)
    return f"{plan.prefix}.0.0/16 in {zones}; NAT: {plan.nat}; endpoints: {endpoints}; {kept}"


def _of_job(job: Job) -> str:
    return f"{job.name} ({job.noun}, {job.status})"


def _of_drift(drifted: tuple[Drift, ...] | None) -> list[tuple[str, Any]]:
    if drifted is None:
        return []
    if not drifted:
        return [("drift", "none: every resource is as the template says")]
    rows = []
    for item in drifted:
        rows.append(("drift", f"{item.logical_id} ({item.type}) is {item.status}"))
        rows += [("", line) for line in item.differences]
    return rows
