"""A job that is to run again is read in full."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.session import Session

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import lookup
from sm_proxy.jobs.hostname import parse
from sm_proxy.launch import old_job
from sm_proxy.launch.old_job import OldJob, UnreadMembers
from tests.fakes import JOB, Answers, FakeAws, description

ARN = f"arn:aws:sagemaker:eu-west-1:111122223333:training-job/{JOB}"
DENIED = SmProxyError("access-denied", "sagemaker:ListTags is denied", "")
_SESSION = Session()


def read(**answers: Answers) -> OldJob:
    told = description("Failed", "Failed", TrainingJobArn=ARN)
    aws = FakeAws(**{"DescribeTrainingJob": told, "ListTags": {"Tags": []}, **answers})
    job = lookup.find(aws, parse(f"sm-{JOB}", "sm-"))
    return old_job.read(aws, job, UnreadMembers(_SESSION))


def test_a_job_is_described_and_its_tags_are_listed() -> None:
    pages: list[Any] = [
        {"Tags": [{"Key": "a", "Value": "1"}], "NextToken": "more"},
        {"Tags": [{"Key": "b", "Value": "2"}]},
    ]
    old = read(ListTags=pages)
    assert (old.operation, old.description["TrainingJobArn"]) == ("CreateTrainingJob", ARN)
    assert [tag["Key"] for tag in old.tags] == ["a", "b"]
    assert old.lost == ()


def test_denied_tags_are_reported_as_lost() -> None:
    old = read(ListTags=DENIED)
    assert (old.tags, old.lost) == ((), ("tags (sagemaker:ListTags is denied)",))


def test_another_failure_is_passed_on() -> None:
    for error in (ServiceError("X", "words", "x"), SmProxyError("network", "words", "")):
        with pytest.raises(SmProxyError, match="words"):
            read(ListTags=error)


@pytest.mark.parametrize("kind", ["transform", "endpoint"])
def test_a_kind_that_runs_a_model_is_refused(kind: str) -> None:
    with pytest.raises(SmProxyError, match=f"of this {kind}.* cannot be relaunched") as caught:
        old_job.operation_of(kind)
    assert (caught.value.code, "container init" in caught.value.hint) == ("unsupported", True)


def test_members_that_an_older_botocore_drops_are_named() -> None:
    unread = UnreadMembers(_SESSION)
    told = {
        "TrainingJobName": JOB,
        "NewConfig": {"A": 1},
        "ResourceConfig": {"InstanceGroups": [{"InstanceCount": 1, "Zone": "a"}], "Spare": 1},
        "Environment": {"ANY": "value"},
        "FinalMetricDataList": None,
    }
    model = _SESSION.get_service_model("sagemaker").operation_model("DescribeTrainingJob")
    event = "before-parse.sagemaker.DescribeTrainingJob"
    refusal = b'{"__type": "ValidationException", "message": "not found"}'
    for status, body in (
        (200, json.dumps(told).encode()),
        (200, b"no json"),
        (200, b'"text"'),
        (400, refusal),
    ):
        answer = {"status_code": status, "body": body}
        _SESSION.emit(event, operation_model=model, response_dict=answer)
    assert unread.names == [
        "NewConfig",
        "ResourceConfig.InstanceGroups.Zone",
        "ResourceConfig.Spare",
    ]
