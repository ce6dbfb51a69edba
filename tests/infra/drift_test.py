from __future__ import annotations

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.infra import drift
from sm_proxy.settings import deadline
from sm_proxy.settings.deadline import Deadline
from tests.fakes import Answers, Clock, FakeAws


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(deadline, "time", fake)
    return fake


def status(name: str, **more: str) -> dict[str, str]:
    return {"DetectionStatus": name, **more}


def stack(*statuses: dict[str, str] | SmProxyError) -> FakeAws:
    answers: dict[str, Answers] = {
        "DetectStackDrift": {"StackDriftDetectionId": "d-1"},
        "DescribeStackDriftDetectionStatus": list(statuses),
        "DescribeStackResourceDrifts": {
            "StackResourceDrifts": [
                {
                    "LogicalResourceId": "JobGroup",
                    "ResourceType": "AWS::EC2::SecurityGroup",
                    "StackResourceDriftStatus": "MODIFIED",
                    "PropertyDifferences": [
                        {
                            "PropertyPath": "/SecurityGroupIngress/0",
                            "ExpectedValue": "null",
                            "ActualValue": '{"CidrIp":"0.0.0.0/0"}\x1b',
                            "DifferenceType": "ADD",
                        }
                    ],
                },
                {
                    "LogicalResourceId": "Bucket",
                    "ResourceType": "AWS::S3::Bucket",
                    "StackResourceDriftStatus": "DELETED",
                },
            ]
        },
    }
    return FakeAws(**answers)


def test_each_resource_is_shown_with_the_property_that_differs() -> None:
    said: list[str] = []
    running = status("DETECTION_IN_PROGRESS")
    aws = stack(running, running, status("DETECTION_COMPLETE"))
    group, bucket = drift.detect(aws, "sm-proxy", Deadline(60), said.append)
    assert group.as_data == {
        "resource": "JobGroup",
        "type": "AWS::EC2::SecurityGroup",
        "status": "MODIFIED",
        "differences": [
            '/SecurityGroupIngress/0 is {"CidrIp":"0.0.0.0/0"}\N{REPLACEMENT CHARACTER}, not null'
        ],
    }
    assert (bucket.status, bucket.differences) == ("DELETED", ())
    assert said == ["CloudFormation compares the resources of sm-proxy with its template"]


def test_a_partly_failed_comparison_is_reported_and_used() -> None:
    said: list[str] = []
    aws = stack(status("DETECTION_FAILED", DetectionStatusReason="no permission for S3"))
    assert len(drift.detect(aws, "sm-proxy", Deadline(60), said.append)) == 2
    assert "no permission for S3" in said[0]


def test_a_comparison_that_takes_too_long_is_given_up() -> None:
    aws = stack(status("DETECTION_IN_PROGRESS"))
    with pytest.raises(SmProxyError) as caught:
        drift.detect(aws, "sm-proxy", Deadline(60), lambda *_: None)
    assert caught.value.code == "wait-timeout"


def test_a_comparison_outlives_throttling() -> None:
    aws = stack(SmProxyError("throttled", "slowly"), status("DETECTION_COMPLETE"))
    assert len(drift.detect(aws, "sm-proxy", Deadline(60), lambda *_: None)) == 2
