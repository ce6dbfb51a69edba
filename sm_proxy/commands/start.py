"""`sm-proxy start`: starts a Studio space so that ssh reaches it.

Only this command does: an instance costs money, so `connect` never starts one.
"""

from __future__ import annotations

import argparse
import re
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.commands import options, space_argument
from sm_proxy.commands.interruptible import Interruptible
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import hostname, kinds, space_sizes
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.kinds import _described_space as spaces
from sm_proxy.jobs.kinds import _space_server
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings
from sm_proxy.spaces import changes, instance_types
from sm_proxy.spaces import plan as plans
from sm_proxy.spaces.plan import Plan
from sm_proxy.spaces.waiting import Waiter

_INSTANCE: Final = re.compile(r"ml\.[a-z0-9-]{1,30}\.[a-z0-9-]{1,30}")

DESCRIPTION: Final = (
    "Starts the app of a Studio space with remote access on, so that ssh reaches it. Asks "
    "first, because the space is billed until `sm-proxy stop`."
)
EXAMPLES: Final = (
    ("sm-proxy start sm-myspace.space", "on the instance type that it has"),
    ("sm-proxy start sm-myspace.space --yes", "without a question"),
)
USES: Final = options.USES_SSH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`start HOST [--instance-type T] [--yes] [--timeout D] [--json]`."""
    parser.add_argument("host", metavar="HOST", help="a space, such as sm-myspace.space")
    parser.add_argument(
        "--instance-type",
        type=_instance_type,
        metavar="TYPE",
        help="run its app on this instance, such as ml.g5.xlarge (default: the one that it has;"
        " the next size if that has less than 8 GiB)",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="do not ask before it begins, also if a running app must be restarted",
    )
    options.add_timeout(parser)
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Start the space; data: `{"job", "kind", "host", "status", "instance_type", "changed"}`.

    `changed` tells whether this run has changed anything; `status` is the app's at the end, null
    without an app.
    """
    target = options.target_of(args, settings)
    _refuse_other_kinds(target)
    if args.instance_type:
        space_sizes.refuse_too_small(args.instance_type)
    aws = Aws(settings.profile, settings.region)
    aws.refuse_unknown("sagemaker", "StartSession")  # RemoteAccess came with it
    with Interruptible("nothing has begun") as left:
        found, own = space_argument.find(aws, target)
        _space_server.refuse_old_image(found.name, found.image)
        waiter = space_argument.waiter(args.timeout, _again(own, args))
        wanted = args.instance_type or ""
        plan = plans.make(changes.settled(aws, found, waiter), wanted)
        if plan.is_done:
            return _result(plan, own, changed=False)
        if plan.restarts and wanted:
            instance_types.refuse_unknown(aws, wanted, f"sm-proxy stop {own.host}")
        if not _is_wanted(plan, target, own, yes=args.yes):
            return _declined(plan, own)
        if not args.yes:  # the user may have thought for long
            waiter = space_argument.waiter(args.timeout, waiter.again)
            plan = _plan_again(aws, plan, wanted, waiter)
        left.words = (
            f"SageMaker finishes the step that has begun; for the rest, run: {waiter.again}"
        )
        space_argument.forget(aws, plan.space)
        changes.carry_out(aws, plan, waiter)
    return _result(plan, own, changed=plan.creates_app)


def _instance_type(text: str) -> str:
    if not _INSTANCE.fullmatch(text):
        shown = printable(text, 40)
        raise argparse.ArgumentTypeError(f"{shown!r} is not an instance such as ml.g5.xlarge")
    return text


def _refuse_other_kinds(target: Target) -> None:
    """Raise unless the host name is a space's: nothing else can be started again."""
    if (row := SESSION_KINDS.get(target.kind or "")) is not None:
        if row.has_app:
            return
        why, instead = row.not_started
        raise SmProxyError("unsupported", f"{target.host} {why}", instead)
    name = hostname.compose(target.prefix, target.job, kind="space").host
    again = "Create it again"
    if target.kind is None or kinds.of(target.kind).CAN_BE_RELAUNCHED:
        again = f"To run it again: sm-proxy relaunch {target.host}"
    raise SmProxyError(
        "unsupported",
        f"{target.host} is not a Studio space, and only a space can be started again",
        f"{again}. If you mean a space: sm-proxy start {name}",
    )


def _again(own: Target, args: argparse.Namespace) -> str:
    """The command that goes on with this one."""
    larger = f" --instance-type {args.instance_type}" if args.instance_type else ""
    return f"sm-proxy start {own.host}{larger}"


def _is_wanted(plan: Plan, target: Target, own: Target, *, yes: bool) -> bool:
    """Show the plan, and ask."""
    if not plan.creates_app:  # it starts already
        return True
    for step in plan.steps:
        output.status(step)
    if plan.restarts:
        output.status(f"WARNING: {plans.LOSS}")
    output.status(f"its instance is billed until it is stopped: sm-proxy stop {own.host}")
    asked = "Restart" if plan.restarts else "Start"
    question = f"{asked} Studio space {own.job} on {plan.instance_type}?"
    return space_argument.confirmed("start", question, target, own, yes=yes)


def _plan_again(aws: Aws, plan: Plan, instance_type: str, waiter: Waiter) -> Plan:
    """The plan after the question: others may have changed the space since.

    Raises:
        SmProxyError: `busy`, an app runs now that the user was not asked about.
    """
    before = plan.space
    now = changes.settled(aws, spaces.describe(aws, before.domain, before.name), waiter)
    again = plans.make(now, instance_type)
    if again.restarts and not plan.restarts:
        raise SmProxyError(
            "busy",
            f"the space {now.name} was started meanwhile, so it must be restarted now",
            f"To see the new plan, and agree to it: {waiter.again}",
        )
    return again


def _declined(plan: Plan, own: Target) -> Result:
    app = plan.space.app
    status = None if app is None or app.gone else app.status
    data = {**_data(plan, own, changed=False), "status": status}
    return Result(data, (f"Studio space {own.job} was not changed",), exit_status=1)


def _result(plan: Plan, own: Target, *, changed: bool) -> Result:
    where = f" on {printable(plan.instance_type, 60)}" if plan.instance_type else ""
    runs = f"Studio space {own.job} runs{where}"
    words = runs if changed else f"{runs} already"
    return Result(_data(plan, own, changed=changed), (f"{words}; now: ssh {own.host}",))


def _data(plan: Plan, own: Target, *, changed: bool) -> dict[str, object]:
    return {
        "job": own.job,
        "kind": "space",
        "host": own.host,
        "status": "InService",
        "instance_type": plan.instance_type,
        "changed": changed,
    }
