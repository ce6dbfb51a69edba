"""The plan for running a job again with ssh: made before anything is changed in AWS."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.hostname import NAME_LIMIT
from sm_proxy.launch import checkpoints, described, drift, prepare, sizes, warm_pool
from sm_proxy.launch.caller import Caller
from sm_proxy.launch.changes import Change, Draft, Path
from sm_proxy.launch.checkpoints import Copy, Mode
from sm_proxy.launch.old_job import OldJob
from sm_proxy.launch.prepare import Prepared
from sm_proxy.launch.request import Ssh
from sm_proxy.launch.shapes import Operation
from sm_proxy.settings import Settings

DEFAULT_WAIT_S: Final = 15 * 60
"""How long the program of one node waits for its user, who has just started this job.

With several nodes it would wait on each: a connection to the first would start only a part of the
program, which then fails because the other nodes are missing.
"""
_SPOT: Final[Path] = ("EnableManagedSpotTraining",)
_SPOT_WAIT: Final[Path] = ("StoppingCondition", "MaxWaitTimeInSeconds")
_WAIT: Final[Path] = ("Environment", "SM_PROXY_WAIT")
_SHELL: Final[Path] = ("Environment", "SM_PROXY_SHELL")
_TRAINING_PLAN: Final[Path] = ("ResourceConfig", "TrainingPlanArn")
_CODE: Final = "sagemaker_submit_directory"
"""The SDK's hyperparameter for the code, which is only read."""
_DIGITS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How the new job differs from the old one, besides ssh.

    Attributes:
        name: of the new job.
        checkpoints: see `checkpoints.move`.
        spot: stay on spot instances.
        smaller: see `sizes.shrink`.
        instance_type: another type; None for the old one.
        entrypoint: what the image runs, if the user says so.
        sure: see `prepare.prepare`.
    """

    name: str
    checkpoints: Mode = "copy"
    spot: bool = False
    smaller: bool = False
    instance_type: str | None = None
    entrypoint: tuple[str, ...] | None = None
    sure: bool = False


@dataclass(frozen=True)
class Plan:
    """A relaunch that is ready to start.

    Attributes:
        prepared: the request with ssh.
        changes: all differences from the old job, with reasons.
        copy: checkpoints to copy first; None if there are none.
        lost: the differences that cannot be avoided, in words.
        drift: what has changed since the old job was created, in sentences.
        outlook: on the start of the job, one sentence; may be empty.
    """

    prepared: Prepared
    changes: tuple[Change, ...]
    copy: Copy | None
    lost: tuple[str, ...]
    drift: tuple[str, ...]
    outlook: str


def default_name(old: str) -> str:
    """`<job cut to fit>-ssh-<4 hex digits>`."""
    end = f"-ssh-{secrets.token_hex(_DIGITS // 2)}"
    return old[: NAME_LIMIT - len(end)].rstrip("-") + end


def plan(
    aws: Caller,
    old: OldJob,
    choices: Choices,
    ssh: Ssh,
    *,
    settings: Settings,
    on_status: Callable[[str], None],
) -> Plan:
    """Make the request for the new job. This makes no change in AWS.

    Args:
        aws: for the calls.
        old: the job to run again.
        choices: how the new one differs.
        ssh: what is wanted of ssh.
        settings: of this run.
        on_status: takes a line for people.

    Raises:
        SmProxyError: the job cannot get ssh, see `prepare.prepare`, or a choice does not fit it.
    """
    draft = _draft(aws, old, choices, ssh)
    copy = checkpoints.move(draft, choices.checkpoints, choices.name, aws, on_status)
    prepared = prepare.prepare(
        aws,
        old.operation,
        draft.request,
        _with_wait(ssh, draft, old.operation),
        settings=settings,
        entrypoint=choices.entrypoint,
        sure=choices.sure,
        on_status=on_status,
    )
    if not choices.sure:
        _refuse_gone(aws, old.operation, prepared)
    changes = (*described.left_out(old.description), *draft.changes, *prepared.made.changes)
    request = prepared.made.request
    return Plan(
        prepared,
        changes,
        copy if copy and copy.objects else None,
        tuple(_lost(old, draft, choices)),
        tuple(drift.since(aws, old.operation, draft.request, old.job.created)),
        warm_pool.outlook(old.description, request),
    )


def _draft(aws: Caller, old: OldJob, choices: Choices, ssh: Ssh) -> Draft:
    """The request of the old job as the new one wants it, still without ssh.

    Raises:
        SmProxyError: a choice does not fit the job.
    """
    shape = described.request_shape(aws.session, old.operation)
    draft = Draft(described.request_from(old.description, old.tags, shape))
    described.rename(draft, old.operation, choices.name)
    _choose_market(draft, old, spot=choices.spot)
    if not ssh.shell:
        draft.set(_SHELL, None, "the program runs this time (--shell prints it instead)")
    if choices.smaller:
        sizes.shrink(draft, old.operation, shape)
    if choices.instance_type:
        sizes.set_type(draft, old.operation, choices.instance_type)
    if choices.checkpoints == "same" and not old.job.over:
        _refuse_two_writers(draft, old)
    return draft


def _with_wait(ssh: Ssh, draft: Draft, operation: Operation) -> Ssh:
    if ssh.wait_s is not None or ssh.shell or draft.get(_WAIT) is not None:
        return ssh
    alone = sizes.nodes(draft.request, operation) == 1
    return replace(ssh, wait_s=DEFAULT_WAIT_S) if alone else ssh


def _choose_market(draft: Draft, old: OldJob, *, spot: bool) -> None:
    if spot and not draft.get(_SPOT):
        raise SmProxyError(
            "usage",
            f"{old.job.noun} {old.job.name} did not run on spot instances",
            "Leave --spot out.",
        )
    if spot or not draft.get(_SPOT):
        return
    why = "AWS may take a spot instance away while you are logged in (--spot keeps it)"
    draft.set(_SPOT, value=False, why=why)
    draft.set(_SPOT_WAIT, None, "only spot jobs have it")


def _refuse_two_writers(draft: Draft, old: OldJob) -> None:
    if draft.get(("CheckpointConfig",)):
        raise SmProxyError(
            "usage",
            f"{old.job.noun} {old.job.name} still runs, and both jobs would write to the same"
            " checkpoints",
            "Use --checkpoints copy or none, or stop the old job first.",
        )


def _lost(old: OldJob, draft: Draft, choices: Choices) -> list[str]:
    """The differences that cannot be avoided, in words."""
    found = [*old.lost, "session tags, which AWS does not tell"]
    if draft.get(_TRAINING_PLAN):
        found.append("its place in the training plan, if that has ended or is full")
    if choices.smaller and (names := sizes.needs_several_nodes(draft.request)):
        found.append(f"the distribution over several nodes ({', '.join(names)})")
    if places := [*_outputs_in_place(draft), *_parameters_in_place(draft, old.job.name)]:
        found.append(f"what the old run wrote, as both write to {', '.join(places)}")
    return found


def _refuse_gone(aws: Caller, operation: Operation, prepared: Prepared) -> None:
    """Refuse a job whose inputs have been deleted since the old one ran.

    One of them may be the folder that an earlier launch uploaded: a job that has ssh keeps it if
    the program's arguments are in it.
    """
    channel = prepared.made.channel
    not_yet = channel.uri if channel else ""
    found = [u for u in drift.missing_inputs(aws, operation, prepared.made.request) if u != not_yet]
    if found:
        raise SmProxyError(
            "bucket-unreadable",
            f"the new job would fail: {', '.join(found)} is gone, which the old job read",
            "Restore it, create the job with other inputs (sm-proxy launch FILE), or go on with"
            " --yes.",
        )


def _outputs_in_place(draft: Draft) -> Iterator[str]:
    """The outputs of a processing job. Unlike a model's path, theirs lack the job's name."""
    for output in draft.get(("ProcessingOutputConfig", "Outputs")) or ():
        if "S3Output" in output:
            yield output["S3Output"]["S3Uri"]


def _parameters_in_place(draft: Draft, old: str) -> Iterator[str]:
    """Hyperparameters such as `model_dir`, by which a program writes below the old job's name."""
    for name, value in (draft.get(("HyperParameters",)) or {}).items():
        place = value.strip('"')  # the SDK writes values as JSON
        if name != _CODE and place.startswith("s3://") and f"/{old}/" in f"{place}/":
            yield f"{name} ({place})"
