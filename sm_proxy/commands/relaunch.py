"""`sm-proxy relaunch`: runs a job again with ssh on; its image and its code stay as they are."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import Kind
from sm_proxy.commands import job_argument, launch_options, launching, options
from sm_proxy.commands.launching import Launch
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import failure, kinds
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.launch import checkpoints, old_job, relaunch
from sm_proxy.launch.old_job import OldJob, UnreadMembers
from sm_proxy.launch.relaunch import Choices, Plan
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings, durations

DESCRIPTION: Final = (
    "Starts a copy of a job, failed or not, with ssh on: no new image, no change of its code."
    " Its program waits for your ssh, and the container stays after a failure."
)
EXAMPLES: Final = (
    ("sm-proxy relaunch sm-myjob --dry-run", "show what would change and cost"),
    ("sm-proxy relaunch sm-myjob --smaller", "one small node, for an hour"),
    ("sm-proxy relaunch latest", "the newest failed job"),
    ("sm-proxy relaunch sm-myjob --shell", "start its program yourself, with `go`"),
)
USES: Final = options.USES_HOST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`relaunch JOB` and its options."""
    job_argument.add(parser)
    parser.add_argument("--name", help="name of the new job (default: JOB-ssh- and 4 hex digits)")
    launch_options.add_size(parser)
    parser.add_argument(
        "--checkpoints",
        choices=checkpoints.MODES,
        default="copy",
        help="of the old job: start from a copy (the default), continue in the same place, or none",
    )
    parser.add_argument(
        "--spot",
        action="store_true",
        help="use spot instances, as the old job did (default: on demand)",
    )
    wait = f"{durations.form(relaunch.DEFAULT_WAIT_S)}; 0 with several nodes, as each waits"
    launch_options.add_arguments(parser, wait)
    launch_options.add_result(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Plan, show three lines, create the job, wait, and print the ssh command."""
    job_argument.refuse_unless_job(args.host, settings, "cannot be relaunched")
    aws = Aws(settings.profile, settings.region)
    unread = UnreadMembers(aws.session)
    old = old_job.read(aws, _find(aws, args.host, settings), unread)
    named = args.name is not None
    name = args.name if named else relaunch.default_name(old.job.name)
    target = launching.target_of(settings, name, old.job.kind)
    if named:
        _refuse_taken(aws, target, old.job.kind)
    choices = Choices(
        name=name,
        checkpoints=args.checkpoints,
        spot=args.spot,
        smaller=args.smaller,
        instance_type=args.instance_type,
        entrypoint=args.entrypoint,
        sure=args.yes,
    )
    ssh = launch_options.ssh_of(args, settings, output.status)
    plan = relaunch.plan(aws, old, choices, ssh, settings=settings, on_status=output.status)
    launch = Launch(plan.prepared, plan.changes, target)
    _report(aws, old, plan)
    if args.dry_run:
        return launching.show(launch, aws)
    return launching.create(launch, aws, settings, args.timeout, partial(_copy, aws, plan))


def _find(aws: Aws, typed: str, settings: Settings) -> Job:
    """The job that is meant, the newest failed one if there are several."""
    named = job_argument.as_name(typed, settings)
    if named.kind is not None:
        old_job.operation_of(named.kind)  # refuses a kind before any call
    return job_argument.find(aws, typed, settings, ("failed",))[0]


def _refuse_taken(aws: Aws, target: Target, kind: Kind) -> None:
    """Refuse a name before the checkpoints of the job that has it are overwritten."""
    if kinds.of(kind).describe(aws, target.job) is not None:
        raise SmProxyError(
            "usage",
            f"there is a {kinds.of(kind).NOUN} {target.job} already",
            f"Choose another --name. If you have just created it: sm-proxy wait {target.host}",
        )


def _report(aws: Aws, old: OldJob, plan: Plan) -> None:
    """Print what changes, what it costs, what differs, and notes from AWS's answers."""
    if not old.job.over:
        output.status(f"{old.job.noun} {old.job.name} is {old.job.status}: a copy of it starts")
    output.status(f"what changes: {launching.summarize(plan.changes)}")
    output.status(f"what it costs: {launching.cost(aws, plan.prepared)}")
    output.status(f"what differs from the old job: {'; '.join(plan.lost)}")
    if plan.copy:
        output.status(f"what is copied first: {plan.copy}")
    told = failure.repeats(old.job)
    for line in filter(None, (told, plan.outlook, *plan.drift, *plan.prepared.notes)):
        output.status(line)


def _copy(aws: Aws, plan: Plan) -> None:
    if plan.copy:
        checkpoints.copy(aws, plan.copy, output.status)
