"""Batch transform jobs. Their containers run in the VPC of their model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.jobs import console_url
from sm_proxy.jobs.job import Job, Summary
from sm_proxy.jobs.kinds import _calls
from sm_proxy.jobs.log_streams import Streams
from sm_proxy.jobs.times import first_time

NOUN: Final = "transform job"
NODES_ARE_NAMED: Final = False
CAN_BE_KEPT: Final = False
CAN_BE_RELAUNCHED: Final = False
ONE_STATUS_IS_LIVE: Final = True
_GROUP: Final = "/aws/sagemaker/TransformJobs"


def describe_call(name: str) -> tuple[str, dict[str, str]]:
    """DescribeTransformJob."""
    return "DescribeTransformJob", {"TransformJobName": name}


def stop_call(name: str) -> tuple[str, dict[str, str]]:
    """StopTransformJob."""
    return "StopTransformJob", {"TransformJobName": name}


def describe(aws: Aws, name: str, known: Job | None = None) -> Job | None:
    """DescribeTransformJob, and DescribeModel unless `known` has the same model."""
    answer = _calls.describe_if_there(aws, *describe_call(name))
    if answer is None:
        return None
    job, model = _line(answer), str(answer.get("ModelName", ""))
    if known and known.vpc_source == model:
        return _read(answer, job, known.subnets)
    # An ended job has no container, so we do not need its subnets.
    unneeded = job.phase in {"ended", "failed"} or not model
    return _read(answer, job, () if unneeded else _calls.subnets_of_model(aws, model))


def recent(aws: Aws, contains: str = "", *, live: bool = False) -> list[Summary]:
    """ListTransformJobs: one call."""
    status = "InProgress" if live else ""
    return _calls.list_page(
        aws, "ListTransformJobs", "TransformJobSummaries", _line, contains=contains, status=status
    )


def streams(job: Job, node: str) -> Streams:
    """`<job>/<instance-id>-<epoch>`."""
    return _calls.streams_of_instances(job.log_group, job.name, node, job.nodes)


def vpc_config(aws: Aws, job: Job) -> Mapping[str, Any]:
    """DescribeModel."""
    return _calls.vpc_config_of_model(aws, job.vpc_source)


def _line(item: Mapping[str, Any]) -> Summary:
    # The list does not tell whether a job that is InProgress has an instance yet.
    status = str(item.get("TransformJobStatus", ""))
    return Summary(
        name=str(item["TransformJobName"]),
        kind="transform",
        status=status,
        phase=_calls.batch_phase(status, started=True),
        created=first_time(item.get("CreationTime")),
        failure_reason=str(item.get("FailureReason", "")),
    )


def _read(answer: Mapping[str, Any], line: Summary, subnets: tuple[str, ...]) -> Job:
    started = answer.get("TransformStartTime")
    resources = answer.get("TransformResources", {})
    return Job(
        name=line.name,
        kind=line.kind,
        status=line.status,
        phase=_calls.batch_phase(line.status, started=started is not None),
        created=line.created,
        failure_reason=line.failure_reason,
        noun=NOUN,
        log_group=_GROUP,
        status_since=first_time(answer.get("TransformEndTime"), started, line.created),
        progress=line.status,
        subnets=subnets,
        vpc_source=str(answer.get("ModelName", "")),
        nodes=int(resources.get("InstanceCount", 1)),
        instance_type=str(resources.get("InstanceType", "")),
        console=console_url.link(
            str(answer.get("TransformJobArn", "")), "transform-jobs", line.name
        ),
    )
