from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.job import Job, Phase
from sm_proxy.jobs.kinds import training
from sm_proxy.jobs.kinds._calls import UnseenError
from tests.fakes import JOB, FakeAws, description

ACTION = "sagemaker:DescribeTrainingJob"
BEGAN = datetime(2026, 11, 23, 9, tzinfo=timezone.utc)


def described(status: str = "Training", overall: str = "InProgress", **changes: Any) -> Job:
    aws = FakeAws(DescribeTrainingJob=description(status, overall, **changes))
    job = training.describe(aws, JOB)
    assert job is not None
    assert aws.calls == [("DescribeTrainingJob", {"TrainingJobName": JOB})]
    return job


def step(status: str, start: int, end: int | None = None, message: str = "") -> dict[str, Any]:
    times = {"StartTime": start, "EndTime": end}
    moments = {name: BEGAN + timedelta(seconds=at) for name, at in times.items() if at is not None}
    return {"Status": status, "StatusMessage": message, **moments}


def test_the_response_is_read() -> None:
    job = described(
        SecondaryStatusTransitions=[
            step("Starting", 0, 59),
            step("Downloading", 59, 200),
            step("Training", 200, message="Training in progress."),
        ],
        ResourceConfig={"InstanceCount": 3},
        TrainingJobArn="arn:aws:sagemaker:eu-west-1:123456789012:training-job/my-job",
        CreationTime=BEGAN,
        StoppingCondition={"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
    )
    assert job == Job(
        name=JOB,
        kind="training",
        status="Training",
        phase="running",
        created=BEGAN,
        noun="training job",
        log_group="/aws/sagemaker/TrainingJobs",
        status_since=BEGAN + timedelta(seconds=200),
        status_message="Training in progress.",
        progress="Starting -> Downloading (2 min) -> Training",
        subnets=("subnet-1",),
        nodes=3,
        max_runtime_s=3600,
        max_wait_s=7200,
        console="https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1"
        "#/jobs/my-job",
    )


def test_progress_shows_the_last_steps() -> None:
    steps = [step("Interrupted", at, at + 1) for at in range(9)] + [step("Training", 9)]
    progress = described(SecondaryStatusTransitions=steps).progress
    assert progress == "... -> " + "Interrupted -> " * 5 + "Training"


def test_nodes_of_instance_groups_are_summed() -> None:
    groups = [{"InstanceCount": 2}, {"InstanceCount": 5}]
    assert described(ResourceConfig={"InstanceGroups": groups}).nodes == 7
    assert described(ResourceConfig={}).nodes == 1


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"InstanceType": "ml.p5.48xlarge"}, "ml.p5.48xlarge"),
        ({"InstanceGroups": [{"InstanceType": "ml.g5.xlarge"}] * 2}, "ml.g5.xlarge"),
        (
            {"InstanceGroups": [{"InstanceType": "ml.g5.xlarge"}, {"InstanceType": "ml.m5.large"}]},
            "",
        ),
        ({}, ""),
    ],
)
def test_the_instance_type_is_known_if_all_nodes_have_it(
    resources: dict[str, Any], expected: str
) -> None:
    assert described(ResourceConfig=resources).instance_type == expected


def test_times_come_from_the_first_field_that_has_one() -> None:
    job = described(SecondaryStatusTransitions=[], LastModifiedTime=BEGAN)
    assert (job.status_since, job.progress) == (BEGAN, "")
    assert described(SecondaryStatusTransitions=None).status_since.tzinfo is timezone.utc


@pytest.mark.parametrize(
    ("overall", "status", "phase"),
    [
        ("InProgress", "Starting", "starting"),
        ("InProgress", "Pending", "starting"),
        ("InProgress", "Downloading", "starting"),
        ("InProgress", "Interrupted", "starting"),
        ("InProgress", "Restarting", "starting"),
        ("InProgress", "Training", "running"),
        ("InProgress", "Updating", "running"),
        ("InProgress", "Uploading", "ended"),
        ("Stopping", "Stopping", "ended"),
        ("Stopping", "Training", "ended"),
        ("Stopping", "MaxRuntimeExceeded", "ended"),
        ("Stopped", "Stopped", "ended"),
        ("Stopped", "MaxRuntimeExceeded", "ended"),
        ("Stopped", "MaxWaitTimeExceeded", "ended"),
        ("Completed", "Completed", "ended"),
        ("Deleting", "Completed", "ended"),
        ("Failed", "Failed", "failed"),
    ],
)
def test_each_status_has_its_phase(overall: str, status: str, phase: Phase) -> None:
    assert described(status, overall).phase == phase


@pytest.mark.parametrize("config", [{}, {"VpcConfig": {}}, {"VpcConfig": {"Subnets": []}}])
def test_a_job_outside_of_a_vpc_has_no_subnets(config: dict[str, Any]) -> None:
    answer = description()
    assert isinstance(answer, dict)
    del answer["VpcConfig"]
    job = training.describe(FakeAws(DescribeTrainingJob={**answer, **config}), JOB)
    assert job is not None
    assert job.subnets == ()


@pytest.mark.parametrize("error", ["ValidationException", "ResourceNotFound"])
def test_a_missing_job_gives_none(error: str) -> None:
    aws = FakeAws(DescribeTrainingJob=ServiceError(error, "Requested resource not found.", ACTION))
    assert training.describe(aws, JOB) is None


def test_other_errors_are_passed_on() -> None:
    aws = FakeAws(DescribeTrainingJob=ServiceError("InternalFailure", "oops", ACTION))
    with pytest.raises(SmProxyError, match=f"{ACTION}: InternalFailure: oops") as caught:
        training.describe(aws, JOB)
    assert caught.value.code == "aws-error"
    slow = SmProxyError("throttled", "slow", "later")
    with pytest.raises(SmProxyError) as caught:
        training.describe(FakeAws(DescribeTrainingJob=slow), JOB)
    assert caught.value is slow


def test_a_denied_call_has_its_own_error() -> None:
    aws = FakeAws(DescribeTrainingJob=SmProxyError("access-denied", "no", "ask"))
    with pytest.raises(UnseenError) as caught:
        training.describe(aws, JOB)
    assert (caught.value.code, caught.value.message, caught.value.hint) == (
        "access-denied",
        "no",
        "ask",
    )


def test_the_list_is_sorted_by_the_service() -> None:
    items = [
        {
            "TrainingJobName": "b",
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
            "CreationTime": BEGAN,
        },
        {"TrainingJobName": "a", "TrainingJobStatus": "InProgress"},  # as older botocore reads it
    ]
    aws = FakeAws(ListTrainingJobs={"TrainingJobSummaries": items, "NextToken": "more"})
    first, second = training.recent(aws)
    assert (first.name, first.status, first.phase) == ("b", "Starting", "starting")
    assert first.created == BEGAN
    assert (second.status, second.phase) == ("InProgress", "running")
    order = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100}
    assert aws.calls == [("ListTrainingJobs", order)]
    training.recent(aws, "bert", live=True)
    asked = aws.calls[-1][1]
    assert asked == {**order, "NameContains": "bert", "StatusEquals": "InProgress"}


def test_a_failed_list_is_reported() -> None:
    aws = FakeAws(ListTrainingJobs=ServiceError("InternalFailure", "oops", "x"))
    with pytest.raises(SmProxyError, match="oops"):
        training.recent(aws)


def test_the_streams_of_a_node() -> None:
    wanted = training.streams(described(), "algo-1")
    assert (wanted.group, wanted.prefix) == ("/aws/sagemaker/TrainingJobs", "my-job/algo-1-")
    names = ("my-job/algo-1-17", "my-job/algo-10-18", "my-job/algo-1-19/ssm", "my-job-2/algo-1-20")
    assert wanted.choose({"logStreamName": name} for name in names) == "my-job/algo-1-17"


def test_a_training_job_is_described_by_its_exact_name() -> None:
    aws = FakeAws(DescribeTrainingJob=description())
    found = training.describe(aws, JOB)
    assert found is not None
    assert found.name == JOB
    assert aws.calls == [("DescribeTrainingJob", {"TrainingJobName": JOB})]
