"""A job's log group, streams and security groups are looked for where its kind has them."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from sm_proxy.doctor import account, job
from sm_proxy.doctor.check import Context
from sm_proxy.jobs.hostname import Kind
from sm_proxy.jobs.job import Job
from sm_proxy.settings import Settings
from tests.fakes import FakeAws

NOW = datetime.now(timezone.utc)
GROUPS = {"processing": "/aws/sagemaker/ProcessingJobs", "endpoint": "/aws/sagemaker/Endpoints/x"}


def found(kind: Kind) -> Job:
    return Job(
        name="x", kind=kind, status="InProgress", phase="running", created=NOW, noun="job",
        log_group=GROUPS[kind], status_since=NOW, vpc_source="source",
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "prefix"), [("processing", "x/algo-1-"), ("endpoint", "")])
def test_the_log_group_and_stream_are_those_of_the_kind(kind: Kind, prefix: str) -> None:
    aws = FakeAws(DescribeLogStreams={}, GetLogEvents={})
    context = Context(Settings(), "sm-x", aws, job=found(kind))
    for _, check in account.LOGS:
        assert check(context) == "allowed"
    (_, listed), (_, read) = aws.calls
    assert listed["logGroupName"] == read["logGroupName"] == GROUPS[kind]
    assert read["logStreamName"].startswith(f"{prefix}sm-proxy-doctor")
    assert listed["logStreamNamePrefix"] == read["logStreamName"]


def test_security_groups_of_an_endpoint_are_its_models() -> None:
    aws = FakeAws(
        DescribeEndpointConfig={"ProductionVariants": [{}, {"ModelName": "m"}]},
        DescribeModel={"VpcConfig": {"SecurityGroupIds": ["sg-1"]}},
    )
    context = Context(Settings(), "sm-x", aws, job=found("endpoint"))
    assert job.security_groups(context) == ("sg-1",)
    assert aws.calls[-1] == ("DescribeModel", {"ModelName": "m"})
