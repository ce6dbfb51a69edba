"""Processing jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.jobs import console_url
from sm_proxy.jobs.job import Job, Summary
from sm_proxy.jobs.kinds import _calls
from sm_proxy.jobs.log_streams import Streams
from sm_proxy.jobs.times import first_time

NOUN: Final = "processing job"
NODES_ARE_NAMED: Final = True
CAN_BE_KEPT: Final = True
CAN_BE_RELAUNCHED: Final = True
ONE_STATUS_IS_LIVE: Final = True
_GROUP: Final = "/aws/sagemaker/ProcessingJobs"


def describe_call(name: str) -> tuple[str, dict[str, str]]:
    """DescribeProcessingJob."""
    return "DescribeProcessingJob", {"ProcessingJobName": name}


def stop_call(name: str) -> tuple[str, dict[str, str]]:
    """StopProcessingJob."""
    return "StopProcessingJob", {"ProcessingJobName": name}


def describe(aws: Aws, name: str, known: Job | None = None) -> Job | None:
    """DescribeProcessingJob: one call."""
    del known  # one response has everything
    answer = _calls.describe_if_there(aws, *describe_call(name))
    return None if answer is None else _read(answer)


def recent(aws: Aws, contains: str = "", *, live: bool = False) -> list[Summary]:
    """ListProcessingJobs: one call."""
    status = "InProgress" if live else ""
    return _calls.list_page(
        aws, "ListProcessingJobs", "ProcessingJobSummaries", _line, contains=contains, status=status
    )


def streams(job: Job, node: str) -> Streams:
    """`<job>/algo-<n>-<epoch>`."""
    return _calls.streams_of_named_nodes(job.log_group, job.name, node)


def vpc_config(aws: Aws, job: Job) -> Mapping[str, Any]:
    """DescribeProcessingJob."""
    operation, parameters = describe_call(job.name)
    answer = aws.call("sagemaker", operation, **parameters)
    return dict(answer.get("NetworkConfig", {}).get("VpcConfig") or {})


def _line(item: Mapping[str, Any]) -> Summary:
    # The list does not tell whether a job that is InProgress has an instance yet.
    status = str(item.get("ProcessingJobStatus", ""))
    return Summary(
        name=str(item["ProcessingJobName"]),
        kind="processing",
        status=status,
        phase=_calls.batch_phase(status, started=True),
        created=first_time(item.get("CreationTime")),
        failure_reason=_reason(item),
    )


def _read(answer: Mapping[str, Any]) -> Job:
    line = _line(answer)
    started = answer.get("ProcessingStartTime")
    cluster = answer.get("ProcessingResources", {}).get("ClusterConfig", {})
    return Job(
        name=line.name,
        kind=line.kind,
        status=line.status,
        phase=_calls.batch_phase(line.status, started=started is not None),
        created=line.created,
        failure_reason=line.failure_reason,
        noun=NOUN,
        log_group=_GROUP,
        status_since=first_time(answer.get("ProcessingEndTime"), started, line.created),
        progress=line.status,
        subnets=_calls.subnets_of(answer.get("NetworkConfig", {}).get("VpcConfig")),
        nodes=int(cluster.get("InstanceCount", 1)),
        instance_type=str(cluster.get("InstanceType", "")),
        max_runtime_s=answer.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
        console=console_url.link(
            str(answer.get("ProcessingJobArn", "")), "processing-jobs", line.name
        ),
    )


def _reason(item: Mapping[str, Any]) -> str:
    """The service's message, and the container's own from /opt/ml/output/message."""
    words = (str(item.get(name, "")) for name in ("FailureReason", "ExitMessage"))
    return "; ".join(filter(None, words))
