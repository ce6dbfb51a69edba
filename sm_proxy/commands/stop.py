"""`sm-proxy stop`: ends a job, or a space's app, which is billed until then."""

from __future__ import annotations

import argparse
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.commands import options
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import hostname, kinds, lookup
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.launch import price
from sm_proxy.local import output, prompt
from sm_proxy.local.output import Result
from sm_proxy.local.prompt import NobodyToAskError
from sm_proxy.settings import Settings

DESCRIPTION: Final = (
    "Ends a job, or the app of a Studio space, and asks first. Both are billed until then."
)
EXAMPLES: Final = (
    ("sm-proxy stop sm-myjob", "a job"),
    ("sm-proxy stop sm-myspace.space", "the app of a space; its files stay"),
)
USES: Final = options.USES_HOST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`stop HOST [--yes] [--json]`."""
    options.add_host(parser)
    parser.add_argument(
        "--yes", action="store_true", help="do not ask; HOST must then be the whole name"
    )
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """End the job that HOST means; data: `{"job", "kind", "status", "stopped"}`.

    `stopped` tells whether this run has ended it; `status` is the one before.
    """
    target = options.target_of(args, settings)
    if target.kind in SESSION_KINDS:
        if SESSION_KINDS[target.kind].has_app:
            from sm_proxy.commands import stop_space  # noqa: PLC0415 - only for these

            return stop_space.run(args, settings, target)
        kinds.of(target.kind).stop_call(target.job)  # refused, whichever of its nodes is named
    if target.names_node:
        raise SmProxyError(
            "usage",
            f"stop ends a whole job, and {target.host} is one of its nodes",
            f"Name the job: sm-proxy stop {_host(target, target.job)}",
        )
    aws = Aws(settings.profile, settings.region)
    job = lookup.find(aws, target, output.status)
    operation, parameters = kinds.of(job.kind).stop_call(job.name)
    if job.over:
        return _ended(job)
    if not _is_meant(aws, job, target, yes=args.yes):
        return Result(
            _data(job, stopped=False), (f"{job.noun} {job.name} was not stopped",), exit_status=1
        )
    try:
        aws.call("sagemaker", operation, **parameters)
    except ServiceError as error:
        # It may have ended while the user was thinking.
        now = kinds.describe_again(aws, job)
        if now.over:
            return _ended(now)
        raise error.as_failure() from None
    return Result(
        _data(job, stopped=True),
        (f"{job.noun} {job.name} is being stopped: its containers end within 2 minutes",),
    )


def _is_meant(aws: Aws, job: Job, target: Target, *, yes: bool) -> bool:
    """Whether the user means this job: one that is stopped cannot go on.

    Raises:
        SmProxyError: `job-ambiguous`; or `usage`, there is no terminal to ask on.
    """
    if yes and job.name == target.job:
        return True
    again = f"If you mean that job: sm-proxy stop {_host(target, job.name)} --yes"
    if yes:
        raise SmProxyError(
            "job-ambiguous",
            f"{target.host} means {job.noun} {job.name} now, and --yes takes whole names only",
            again,
        )
    try:
        return prompt.confirm(f"Stop {job.noun} {job.name} ({job.status}, {_cost(aws, job)})?")
    except NobodyToAskError:
        raise SmProxyError(
            "usage",
            f"stop would end {job.noun} {job.name}, and there is no terminal to ask on",
            again,
        ) from None


def _cost(aws: Aws, job: Job) -> str:
    operation, parameters = kinds.of(job.kind).describe_call(job.name)
    try:
        description = aws.call("sagemaker", operation, **parameters)
    except (ServiceError, SmProxyError):
        return price.UNKNOWN
    return price.per_hour(aws, job.kind, description)


def _host(target: Target, job: str) -> str:
    return hostname.compose(target.prefix, job, kind=target.kind).host


def _ended(job: Job) -> Result:
    reason = f": {printable(job.failure_reason)}" if job.failure_reason else ""
    text = f"{job.noun} {job.name} has ended already, or is ending: it is {job.status}{reason}"
    return Result(_data(job, stopped=False), (text,))


def _data(job: Job, *, stopped: bool) -> dict[str, object]:
    return {"job": job.name, "kind": job.kind, "status": job.status, "stopped": stopped}
