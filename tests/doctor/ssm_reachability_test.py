from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.doctor import bastion, ssm_reachability
from sm_proxy.doctor.check import SkipCheck
from tests.doctor.bastions import DENIED, INSTANCE, context, information
from tests.doctor.helpers import failure


def default_route(**via: str) -> dict[str, Any]:
    route = {"DestinationCidrBlock": "0.0.0.0/0", **via}
    return {"RouteTables": [{"Associations": [{"Main": True}], "Routes": [route]}]}


NAT = default_route(NatGatewayId="nat-1")
IGW = default_route(GatewayId="igw-1")
GONE = default_route(NatGatewayId="nat-1", State="blackhole")
NONE: dict[str, Any] = {"RouteTables": []}


def endpoints(*names: str) -> dict[str, Any]:
    service = "com.amazonaws.eu-west-1."
    found = [{"ServiceName": service + name, "State": "available"} for name in names]
    return {"VpcEndpoints": [*found, {"ServiceName": f"{service}ssm", "State": "deleted"}]}


@pytest.mark.parametrize(
    ("routes", "there", "public", "lacking"),
    [
        (NAT, endpoints(), "", ""),
        (GONE, endpoints(), "", "ssm, ssmmessages"),
        (NONE, endpoints("ssm", "ssmmessages"), "", ""),
        (NONE, endpoints("ssm"), "", "ssmmessages"),
        (NONE, endpoints(), "", "ssm, ssmmessages"),
        (IGW, endpoints(), "", "ssm, ssmmessages"),
        (IGW, endpoints(), "203.0.113.9", ""),
    ],
)
def test_an_offline_agent_needs_a_route_to_ssm(
    routes: Any, there: Any, public: str, lacking: str
) -> None:
    instance = {**INSTANCE, "PublicIpAddress": public}
    examined = context(
        DescribeInstances={"Reservations": [{"Instances": [instance]}]},
        DescribeInstanceInformation=information("ConnectionLost"),
        DescribeRouteTables=routes,
        DescribeVpcEndpoints=there,
    )
    bastion.running(examined)
    if lacking:
        error = failure(ssm_reachability.way_to_ssm, examined)
        assert error.code == "bastion-offline"
        assert error.message.endswith(f"no endpoint for {lacking}")
    else:
        assert ssm_reachability.way_to_ssm(examined)
    assert failure(bastion.agent, examined).message == "the agent of i-1 is ConnectionLost"


def test_denied_route_calls_are_skipped() -> None:
    offline = information("ConnectionLost")
    examined = context(DescribeInstanceInformation=offline, DescribeRouteTables=DENIED)
    bastion.running(examined)
    with pytest.raises(SkipCheck, match="denied"):
        ssm_reachability.way_to_ssm(examined)


def with_groups(*groups: str) -> dict[str, Any]:
    """Endpoints for both services, with these security groups."""
    found = endpoints("ssm", "ssmmessages")["VpcEndpoints"]
    return {
        "VpcEndpoints": [{**item, "Groups": [{"GroupId": g} for g in groups]} for item in found]
    }


def group(name: str, port: int, **peers: Any) -> dict[str, Any]:
    rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peers}
    return {"GroupId": name, "IpPermissions": [rule]}


BASTIONS = {"UserIdGroupPairs": [{"GroupId": "sg-bastion"}]}


@pytest.mark.parametrize(
    ("peers", "port", "ping", "closed"),
    [
        (BASTIONS, 443, "ConnectionLost", False),
        ({"IpRanges": [{"CidrIp": "10.0.0.0/16"}]}, 443, "ConnectionLost", False),
        (BASTIONS, 22, "ConnectionLost", True),
        ({"IpRanges": [{"CidrIp": "10.9.0.0/16"}]}, 443, "ConnectionLost", True),
        (BASTIONS, 22, "Online", False),
    ],
)
def test_endpoints_must_admit_an_offline_agent(
    peers: dict[str, Any], port: int, ping: str, *, closed: bool
) -> None:
    own = {"PrivateIpAddress": "10.0.0.9", "SecurityGroups": [{"GroupId": "sg-bastion"}]}
    examined = context(
        DescribeInstances={"Reservations": [{"Instances": [{**INSTANCE, **own}]}]},
        DescribeInstanceInformation=information(ping),
        DescribeVpcEndpoints=with_groups("sg-1"),
        DescribeSecurityGroups={"SecurityGroups": [group("sg-1", port, **peers)]},
    )
    bastion.running(examined)
    if not closed:
        assert ssm_reachability.endpoint_groups(examined)
        return
    error = failure(ssm_reachability.endpoint_groups, examined)
    assert error.code == "bastion-offline"
    assert "sg-1, a group of the endpoint for ssm," in error.message
    assert error.hint.endswith("--port 443 --source-group sg-bastion --region eu-west-1")


def test_endpoints_without_groups_or_access_are_skipped() -> None:
    for found, groups in ((endpoints("ssm"), {}), (DENIED, {}), (with_groups("sg-1"), DENIED)):
        examined = context(DescribeVpcEndpoints=found, DescribeSecurityGroups=groups)
        bastion.running(examined)
        with pytest.raises(SkipCheck):
            ssm_reachability.endpoint_groups(examined)
