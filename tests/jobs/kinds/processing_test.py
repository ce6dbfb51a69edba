from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from sm_proxy.jobs.job import Job, Phase
from sm_proxy.jobs.kinds import processing
from tests.fakes import FakeAws

BEGAN = datetime(2026, 11, 23, 9, tzinfo=timezone.utc)
ANSWER: dict[str, Any] = {
    "ProcessingJobName": "prep",
    "ProcessingJobArn": "arn:aws-cn:sagemaker:cn-north-1:123456789012:processing-job/prep",
    "ProcessingJobStatus": "InProgress",
    "ProcessingStartTime": BEGAN,
    "CreationTime": BEGAN,
    "ProcessingResources": {"ClusterConfig": {"InstanceCount": 2, "InstanceType": "ml.m5.large"}},
    "NetworkConfig": {"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}},
    "StoppingCondition": {"MaxRuntimeInSeconds": 600},
}


def described(**changes: Any) -> Job:
    aws = FakeAws(DescribeProcessingJob={**ANSWER, **changes})
    job = processing.describe(aws, "prep")
    assert job is not None
    assert aws.calls == [("DescribeProcessingJob", {"ProcessingJobName": "prep"})]
    return job


def test_the_response_is_read() -> None:
    assert described() == Job(
        name="prep",
        kind="processing",
        status="InProgress",
        phase="running",
        created=BEGAN,
        noun="processing job",
        log_group="/aws/sagemaker/ProcessingJobs",
        status_since=BEGAN,
        progress="InProgress",
        subnets=("subnet-1",),
        nodes=2,
        instance_type="ml.m5.large",
        max_runtime_s=600,
        console="https://console.amazonaws.cn/sagemaker/home?region=cn-north-1"
        "#/processing-jobs/prep",
    )


@pytest.mark.parametrize(
    ("status", "started", "phase"),
    [
        ("InProgress", None, "starting"),
        ("InProgress", BEGAN, "running"),
        ("Stopping", BEGAN, "ended"),
        ("Stopped", None, "ended"),
        ("Completed", BEGAN, "ended"),
        ("Failed", BEGAN, "failed"),
    ],
)
def test_each_status_has_its_phase(status: str, started: datetime | None, phase: Phase) -> None:
    job = described(ProcessingJobStatus=status, ProcessingStartTime=started)
    assert (job.status, job.phase) == (status, phase)


def test_the_containers_message_is_part_of_the_reason() -> None:
    job = described(FailureReason="AlgorithmError", ExitMessage="no rows")
    assert job.failure_reason == "AlgorithmError; no rows"


def test_without_a_network_there_are_no_subnets() -> None:
    assert described(NetworkConfig={}).subnets == ()


def test_the_list_is_read() -> None:
    items = [{"ProcessingJobName": "prep", "ProcessingJobStatus": "InProgress"}]
    aws = FakeAws(ListProcessingJobs={"ProcessingJobSummaries": items})
    (line,) = processing.recent(aws, "pre", live=True)
    assert (line.name, line.kind, line.phase) == ("prep", "processing", "running")
    assert aws.calls[0][1] == {
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": 100,
        "NameContains": "pre",
        "StatusEquals": "InProgress",
    }


def test_the_streams_of_a_node() -> None:
    wanted = processing.streams(described(), "algo-2")
    assert (wanted.group, wanted.prefix) == ("/aws/sagemaker/ProcessingJobs", "prep/algo-2-")
    assert wanted.choose([{"logStreamName": "prep/algo-2-17"}]) == "prep/algo-2-17"
