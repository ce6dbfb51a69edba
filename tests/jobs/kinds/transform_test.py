from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.kinds import transform
from sm_proxy.jobs.kinds._calls import UnseenError
from tests.fakes import FakeAws

BEGAN = datetime(2026, 11, 23, 9, tzinfo=timezone.utc)
ANSWER: dict[str, Any] = {
    "TransformJobName": "score",
    "TransformJobArn": "arn:aws-us-gov:sagemaker:us-gov-west-1:123456789012:transform-job/score",
    "TransformJobStatus": "InProgress",
    "TransformStartTime": BEGAN,
    "CreationTime": BEGAN,
    "ModelName": "bert",
    "TransformResources": {"InstanceCount": 2, "InstanceType": "ml.m5.large"},
}
MODEL = {"VpcConfig": {"Subnets": ["subnet-1"]}}
GONE = ServiceError("ValidationException", 'Could not find model "bert".', "x")


def an_aws(**changes: Any) -> FakeAws:
    return FakeAws(DescribeTransformJob={**ANSWER, **changes}, DescribeModel=MODEL)


def described(aws: FakeAws, known: Job | None = None) -> Job:
    job = transform.describe(aws, "score", known)
    assert job is not None
    return job


def test_the_response_is_read() -> None:
    aws = an_aws()
    assert described(aws) == Job(
        name="score",
        kind="transform",
        status="InProgress",
        phase="running",
        created=BEGAN,
        noun="transform job",
        log_group="/aws/sagemaker/TransformJobs",
        status_since=BEGAN,
        progress="InProgress",
        subnets=("subnet-1",),
        vpc_source="bert",
        nodes=2,
        instance_type="ml.m5.large",
        console="https://console.amazonaws-us-gov.com/sagemaker/home?region=us-gov-west-1"
        "#/transform-jobs/score",
    )
    assert aws.calls == [
        ("DescribeTransformJob", {"TransformJobName": "score"}),
        ("DescribeModel", {"ModelName": "bert"}),
    ]


def test_the_model_is_described_once() -> None:
    known = described(an_aws(TransformStartTime=None))
    assert known.phase == "starting"
    aws = an_aws()
    again = described(aws, known)
    assert (again.phase, again.subnets) == ("running", ("subnet-1",))
    assert aws.operations() == ["DescribeTransformJob"]


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopping", "Stopped"])
def test_an_ended_job_needs_no_model(status: str) -> None:
    aws = an_aws(TransformJobStatus=status)
    assert described(aws).over
    assert aws.operations() == ["DescribeTransformJob"]


def test_a_missing_job_gives_none() -> None:
    assert transform.describe(FakeAws(DescribeTransformJob=GONE), "score") is None


def test_a_deleted_model_is_reported() -> None:
    with pytest.raises(SmProxyError, match="model bert is gone") as caught:
        described(FakeAws(DescribeTransformJob=ANSWER, DescribeModel=GONE))
    assert caught.value.code == "no-vpc"


def test_a_denied_model_differs_from_a_denied_job() -> None:
    denied = SmProxyError("access-denied", "sagemaker:DescribeModel is denied", "ask")
    with pytest.raises(SmProxyError) as caught:
        described(FakeAws(DescribeTransformJob=ANSWER, DescribeModel=denied))
    assert caught.value is denied
    assert not isinstance(caught.value, UnseenError)


def test_the_list_is_read() -> None:
    items = [
        {"TransformJobName": "score", "TransformJobStatus": "Failed", "FailureReason": "no data"}
    ]
    (line,) = transform.recent(FakeAws(ListTransformJobs={"TransformJobSummaries": items}))
    assert (line.kind, line.phase, line.failure_reason) == ("transform", "failed", "no data")


def test_nodes_are_instances_in_the_order_of_their_ids() -> None:
    job = described(an_aws())
    names = (
        "score/i-0bbbbbbbb-1700000001",
        "score/i-0bbbbbbbb-1700000001/data-log",
        "score/i-0aaaaaaaa-1700000002",
        "score-2/i-0cccccccc-1700000009",
    )
    listed = [{"logStreamName": name} for name in names]
    assert transform.streams(job, "algo-1").choose(listed) == "score/i-0aaaaaaaa-1700000002"
    assert transform.streams(job, "algo-2").choose(listed) == "score/i-0bbbbbbbb-1700000001"
    assert transform.streams(job, "i-0bbbbbbbb").choose(listed) == "score/i-0bbbbbbbb-1700000001"
    assert transform.streams(job, "i-0cccccccc").choose(listed) is None
    assert transform.streams(job, "algo-3").choose(listed) is None
