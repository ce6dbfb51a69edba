"""Training jobs, also those of tuning jobs, pipelines and AutoML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.jobs import console_url
from sm_proxy.jobs.job import Job, Phase, Summary
from sm_proxy.jobs.kinds import _calls
from sm_proxy.jobs.log_streams import Streams
from sm_proxy.jobs.times import first_time, in_words

NOUN: Final = "training job"
NODES_ARE_NAMED: Final = True
CAN_BE_KEPT: Final = True
CAN_BE_RELAUNCHED: Final = True
ONE_STATUS_IS_LIVE: Final = True
_GROUP: Final = "/aws/sagemaker/TrainingJobs"
# Older botocore drops SecondaryStatus in a list; then we only have InProgress.
_RUNNING: Final = frozenset({"Training", "Updating", "InProgress"})
_GONE: Final = frozenset({"Uploading", "Stopping"})
_STEPS_SHOWN: Final = 6
_WORTH_TELLING_S: Final = 60


def describe_call(name: str) -> tuple[str, dict[str, str]]:
    """DescribeTrainingJob."""
    return "DescribeTrainingJob", {"TrainingJobName": name}


def stop_call(name: str) -> tuple[str, dict[str, str]]:
    """StopTrainingJob."""
    return "StopTrainingJob", {"TrainingJobName": name}


def describe(aws: Aws, name: str, known: Job | None = None) -> Job | None:
    """DescribeTrainingJob: one call."""
    del known  # one response has everything
    answer = _calls.describe_if_there(aws, *describe_call(name))
    return None if answer is None else _read(answer)


def recent(aws: Aws, contains: str = "", *, live: bool = False) -> list[Summary]:
    """ListTrainingJobs: one call."""
    status = "InProgress" if live else ""
    return _calls.list_page(
        aws, "ListTrainingJobs", "TrainingJobSummaries", _line, contains=contains, status=status
    )


def streams(job: Job, node: str) -> Streams:
    """`<job>/algo-<n>-<epoch>`; a spot restart or a retry starts a new stream."""
    return _calls.streams_of_named_nodes(job.log_group, job.name, node)


def vpc_config(aws: Aws, job: Job) -> Mapping[str, Any]:
    """DescribeTrainingJob."""
    operation, parameters = describe_call(job.name)
    return dict(aws.call("sagemaker", operation, **parameters).get("VpcConfig") or {})


def _phase(overall: str, status: str) -> Phase:
    """The phase; a job that is Interrupted waits for a new instance."""
    if overall == "Failed":
        return "failed"
    if overall != "InProgress" or status in _GONE:
        return "ended"
    return "running" if status in _RUNNING else "starting"


def _line(item: Mapping[str, Any]) -> Summary:
    overall = str(item.get("TrainingJobStatus", ""))
    status = str(item.get("SecondaryStatus", overall))
    return Summary(
        name=str(item["TrainingJobName"]),
        kind="training",
        status=status,
        phase=_phase(overall, status),
        created=first_time(item.get("CreationTime")),
    )


def _read(answer: Mapping[str, Any]) -> Job:
    line = _line(answer)
    steps = answer.get("SecondaryStatusTransitions") or [{}]
    stopping = answer.get("StoppingCondition", {})
    return Job(
        name=line.name,
        kind=line.kind,
        status=line.status,
        phase=line.phase,
        created=line.created,
        failure_reason=str(answer.get("FailureReason", "")),
        noun=NOUN,
        log_group=_GROUP,
        status_since=first_time(steps[-1].get("StartTime"), answer.get("LastModifiedTime")),
        status_message=str(steps[-1].get("StatusMessage", "")),
        progress=_progress(steps),
        subnets=_calls.subnets_of(answer.get("VpcConfig")),
        nodes=_nodes(answer.get("ResourceConfig", {})),
        instance_type=_instance_type(answer.get("ResourceConfig", {})),
        max_runtime_s=stopping.get("MaxRuntimeInSeconds"),
        max_wait_s=stopping.get("MaxWaitTimeInSeconds"),
        remote_debug=bool((answer.get("RemoteDebugConfig") or {}).get("EnableRemoteDebug")),
        console=console_url.link(str(answer.get("TrainingJobArn", "")), "jobs", line.name),
    )


def _nodes(resources: Mapping[str, Any]) -> int:
    groups = resources.get("InstanceGroups") or []
    grouped = sum(int(item.get("InstanceCount", 0)) for item in groups)
    return grouped or int(resources.get("InstanceCount", 1))


def _instance_type(resources: Mapping[str, Any]) -> str:
    groups = resources.get("InstanceGroups") or [resources]
    types = {str(item.get("InstanceType", "")) for item in groups}
    return types.pop() if len(types) == 1 else ""


def _progress(steps: list[dict[str, Any]]) -> str:
    """`Starting -> Downloading (2 min) -> Training`: the last steps, with times over a minute."""
    shown = [_step(step) for step in steps[-_STEPS_SHOWN:] if step.get("Status")]
    earlier = ["..."] if len(steps) > _STEPS_SHOWN else []
    return " -> ".join(earlier + shown)


def _step(step: Mapping[str, Any]) -> str:
    started = first_time(step.get("StartTime"))
    seconds = (first_time(step.get("EndTime"), started) - started).total_seconds()
    took = f" ({in_words(seconds)})" if seconds >= _WORTH_TELLING_S else ""
    return f"{step['Status']}{took}"
