"""The checks of an EC2 Instance Connect Endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.doctor import connect_endpoint, network_acls, routes, security_groups
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.routes import instance_connect
from sm_proxy.settings import Settings
from tests.doctor.helpers import failure
from tests.fakes import Answers, FakeAws, container

DENIED = SmProxyError("access-denied", "no", "ask")
INTERFACES = {"NetworkInterfaces": [{"PrivateIpAddress": "10.0.9.7"}]}


def endpoint(name: str = "eice-1", state: str = "create-complete", **more: Any) -> dict[str, Any]:
    return {
        "InstanceConnectEndpointId": name,
        "State": state,
        "VpcId": "vpc-1",
        "SubnetId": "subnet-9",
        "DnsName": f"{name}.example",
        "NetworkInterfaceIds": ["eni-1"],
        "SecurityGroupIds": ["sg-9"],
        "PreserveClientIp": False,
        **more,
    }


def context(*endpoints: dict[str, Any], host: bool = True, **more: Answers) -> Context:
    answers: dict[str, Answers] = {
        "DescribeInstanceConnectEndpoints": {"InstanceConnectEndpoints": list(endpoints)},
        "DescribeNetworkInterfaces": INTERFACES,
        "DescribeSubnets": {"Subnets": []},
    }
    examined = Context(Settings(), "sm-x" if host else None, FakeAws(**{**answers, **more}))
    examined.container = container(port=22) if host else None
    examined.route = "instance-connect"
    return examined


def test_the_endpoint_that_connections_use_is_examined() -> None:
    examined = context(endpoint("eice-2"), endpoint("eice-1"))
    assert connect_endpoint.ready(examined) == "eice-1 in vpc-1"
    assert examined.hop == {
        "InstanceId": "eice-1",
        "SubnetId": "subnet-9",
        "PrivateIpAddress": "10.0.9.7",
        "SecurityGroups": [{"GroupId": "sg-9"}],
    }
    assert examined.hop_name == "the endpoint"


def test_a_connection_after_the_check_uses_an_endpoint_created_a_moment_ago() -> None:
    before, examined = context(), context(endpoint("eice-1"))
    assert before.container is not None
    assert instance_connect.find(before.container, before.aws) is None
    assert connect_endpoint.ready(examined) == "eice-1 in vpc-1"
    found = instance_connect.find(before.container, examined.aws)
    assert found is not None
    assert found.id == "eice-1"


@pytest.mark.parametrize(
    ("endpoints", "words"),
    [([], "vpc-1 has no EC2"), ([endpoint(state="create-failed")], "eice-1 is create-failed")],
)
def test_without_a_ready_endpoint_the_fix_makes_one(
    endpoints: list[dict[str, Any]], words: str
) -> None:
    error = failure(connect_endpoint.ready, context(*endpoints))
    assert error.code == "route-unusable"
    assert words in error.message
    assert error.hint.startswith("aws ec2 create-instance-connect-endpoint ")


def test_without_a_job_an_endpoint_is_not_missed() -> None:
    with pytest.raises(SkipCheck, match="has no EC2 Instance Connect Endpoint"):
        connect_endpoint.ready(context(host=False))
    examined = context(endpoint(), host=False)
    assert connect_endpoint.ready(examined) == "eice-1 in vpc-1"
    assert examined.hop is not None


def test_without_permission_nothing_is_claimed() -> None:
    with pytest.raises(SkipCheck, match="denied"):
        connect_endpoint.ready(context(DescribeInstanceConnectEndpoints=DENIED))


@pytest.mark.parametrize(
    "examined",
    [
        context(endpoint(PreserveClientIp=True)),
        context(endpoint(), DescribeNetworkInterfaces=DENIED),
        context(endpoint(NetworkInterfaceIds=[])),
    ],
)
def test_an_unknown_source_address_fails_no_check(examined: Context) -> None:
    connect_endpoint.ready(examined)
    examined.job = None
    with pytest.raises(SkipCheck):
        security_groups.path(examined)
    with pytest.raises(SkipCheck):
        network_acls.path(examined)


def test_the_route_has_checks_of_its_own() -> None:
    own = routes.checks_of("instance-connect")
    assert [name for name, _ in own.find] == ["connect-endpoint"]
    assert [name for name, _ in own.examine_for_job] == ["security-groups", "network-acls"]
