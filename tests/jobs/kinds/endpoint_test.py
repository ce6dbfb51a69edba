from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.job import Job, Phase
from sm_proxy.jobs.kinds import endpoint
from tests.fakes import FakeAws

BEGAN = datetime(2026, 11, 23, 9, tzinfo=timezone.utc)
ANSWER: dict[str, Any] = {
    "EndpointName": "chat",
    "EndpointArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/chat",
    "EndpointConfigName": "chat-1",
    "EndpointStatus": "InService",
    "CreationTime": BEGAN,
    "LastModifiedTime": BEGAN,
    "ProductionVariants": [{"CurrentInstanceCount": 1}, {"CurrentInstanceCount": 2}],
}
CONFIG: dict[str, Any] = {"ProductionVariants": [{"VariantName": "a"}, {"ModelName": "bert"}]}
MODEL = {"VpcConfig": {"Subnets": ["subnet-1"]}}
THREE = ["DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel"]


def an_aws(config: dict[str, Any] = CONFIG, **changes: Any) -> FakeAws:
    return FakeAws(
        DescribeEndpoint={**ANSWER, **changes}, DescribeEndpointConfig=config, DescribeModel=MODEL
    )


def described(aws: FakeAws, known: Job | None = None) -> Job:
    job = endpoint.describe(aws, "chat", known)
    assert job is not None
    return job


def test_the_response_is_read() -> None:
    aws = an_aws()
    assert described(aws) == Job(
        name="chat",
        kind="endpoint",
        status="InService",
        phase="running",
        created=BEGAN,
        noun="endpoint",
        log_group="/aws/sagemaker/Endpoints/chat",
        status_since=BEGAN,
        progress="InService",
        subnets=("subnet-1",),
        vpc_source="chat-1",
        nodes=3,
        console="https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1"
        "#/endpoints/chat",
    )
    assert aws.calls == [
        ("DescribeEndpoint", {"EndpointName": "chat"}),
        ("DescribeEndpointConfig", {"EndpointConfigName": "chat-1"}),
        ("DescribeModel", {"ModelName": "bert"}),
    ]


def test_the_configuration_can_have_the_subnets() -> None:
    aws = an_aws({**CONFIG, "VpcConfig": {"Subnets": ["subnet-2"]}})
    assert described(aws).subnets == ("subnet-2",)
    assert aws.operations() == THREE[:2]


def test_without_a_model_there_is_no_vpc() -> None:
    assert described(an_aws({"ProductionVariants": [{"VariantName": "a"}]})).subnets == ()


def test_a_known_configuration_is_not_described_again() -> None:
    known = described(an_aws(EndpointStatus="Creating"))
    aws = an_aws()
    assert described(aws, known).subnets == ("subnet-1",)
    assert aws.operations() == THREE[:1]
    aws = an_aws(EndpointConfigName="chat-2")
    assert described(aws, known).vpc_source == "chat-2"
    assert aws.operations() == THREE


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("Creating", "starting"),
        ("InService", "running"),
        ("Updating", "running"),
        ("SystemUpdating", "running"),
        ("RollingBack", "running"),
        ("UpdateRollbackFailed", "running"),
        ("OutOfService", "ended"),
        ("Deleting", "ended"),
        ("Failed", "failed"),
    ],
)
def test_each_status_has_its_phase(status: str, phase: Phase) -> None:
    aws = an_aws(EndpointStatus=status)
    assert described(aws).phase == phase
    assert aws.operations() == (THREE[:1] if phase in {"ended", "failed"} else THREE)


def test_an_endpoint_counts_at_least_one_instance() -> None:
    assert described(an_aws(ProductionVariants=[{}])).nodes == 1


def test_a_missing_endpoint_gives_none() -> None:
    gone = ServiceError("ValidationException", 'Could not find endpoint "chat".', "x")
    assert endpoint.describe(FakeAws(DescribeEndpoint=gone), "chat") is None


def test_a_deleted_configuration_is_reported() -> None:
    gone = ServiceError("ValidationException", "Could not find it.", "x")
    aws = FakeAws(DescribeEndpoint=ANSWER, DescribeEndpointConfig=gone)
    with pytest.raises(SmProxyError, match="Could not find it"):
        described(aws)


def test_the_list_is_read() -> None:
    aws = FakeAws(ListEndpoints={"Endpoints": [{"EndpointName": "a", "EndpointStatus": "Failed"}]})
    (line,) = endpoint.recent(aws, live=True)
    assert (line.name, line.phase) == ("a", "failed")
    assert aws.calls[0][1]["StatusEquals"] == "InService"


def test_nodes_are_the_instances_of_all_variants() -> None:
    job = described(an_aws(ProductionVariants=[{"CurrentInstanceCount": 2}]))
    names = {
        "blue/i-00000001": 3,
        "green/i-00000000": 2,
        "green/i-0000000a": 1,  # a former instance, removed by scaling
        "green/i-00000000/data-log": 9,
        "green/i-00000000/server": 9,
    }
    listed = [{"logStreamName": name, "creationTime": made} for name, made in names.items()]
    assert endpoint.streams(job, "algo-1").choose(listed) == "green/i-00000000"
    assert endpoint.streams(job, "algo-2").choose(listed) == "blue/i-00000001"
    assert endpoint.streams(job, "algo-3").choose(listed) is None
    assert endpoint.streams(job, "i-0000000a").choose(listed) == "green/i-0000000a"
    assert endpoint.streams(job, "algo-1").prefix == ""
