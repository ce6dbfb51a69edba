from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sm_proxy.doctor import bastion
from sm_proxy.doctor.findings import Patient, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from tests import fakes

INSTANCE = {
    "InstanceId": "i-1",
    "State": {"Name": "running"},
    "SubnetId": "subnet-9",
    "VpcId": "vpc-1",
}
DENIED = SmProxyError("access-denied", "it is denied")


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


def information(ping: str = "Online", version: str = "3.3.1230.0") -> dict[str, Any]:
    item = {"InstanceId": "i-1", "PingStatus": ping, "AgentVersion": version}
    return {"InstanceInformationList": [item]}


def patient(settings: Settings | None = None, **answers: Any) -> Patient:
    given = {
        "DescribeInstances": {"Reservations": [{"Instances": [INSTANCE]}]},
        "DescribeInstanceInformation": information(),
        **answers,
    }
    return Patient(settings or Settings(), None, fakes.working(**given))


def failure(check: Callable[[Patient], str], examined: Patient) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        check(examined)
    return caught.value


def test_a_good_one() -> None:
    examined = patient()
    assert bastion.running(examined) == "i-1"
    assert "3.3.1230.0" in bastion.agent(examined)


def test_one_that_is_stopped_is_told_how_to_start() -> None:
    stopped = {**INSTANCE, "State": {"Name": "stopped"}}
    examined = patient(DescribeInstances={"Reservations": [{"Instances": [stopped]}]})
    error = failure(bastion.running, examined)
    assert error.code == "no-bastion"
    assert error.hint == "aws ec2 start-instances --instance-ids i-1 --region eu-west-1"


def test_none_is_tagged() -> None:
    error = failure(bastion.running, patient(DescribeInstances={"Reservations": []}))
    assert error.code == "no-bastion"
    assert "Key=sm-proxy:role,Value=bastion" in error.hint


def test_a_named_one_that_may_not_be_described_is_no_cause() -> None:
    with pytest.raises(SkipCheck):
        bastion.running(patient(Settings(bastion="i-1"), DescribeInstances=DENIED))
    assert failure(bastion.running, patient(DescribeInstances=DENIED)).code == "access-denied"


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
def test_an_agent_that_is_offline_needs_a_way_out(
    routes: Any, there: Any, public: str, lacking: str
) -> None:
    instance = {**INSTANCE, "PublicIpAddress": public}
    examined = patient(
        DescribeInstances={"Reservations": [{"Instances": [instance]}]},
        DescribeInstanceInformation=information("ConnectionLost"),
        DescribeRouteTables=routes,
        DescribeVpcEndpoints=there,
    )
    bastion.running(examined)
    if lacking:
        error = failure(bastion.way_out, examined)
        assert error.code == "bastion-offline"
        assert error.message.endswith(f"no endpoint for {lacking}")
    else:
        assert bastion.way_out(examined)
    assert failure(bastion.agent, examined).message == "the agent of i-1 is ConnectionLost"


def test_routes_that_may_not_be_asked_are_no_cause() -> None:
    offline = information("ConnectionLost")
    examined = patient(DescribeInstanceInformation=offline, DescribeRouteTables=DENIED)
    bastion.running(examined)
    with pytest.raises(SkipCheck, match="denied"):
        bastion.way_out(examined)


def test_an_old_agent() -> None:
    examined = patient(DescribeInstanceInformation=information(version="3.1.501.0"))
    bastion.running(examined)
    error = failure(bastion.agent, examined)
    assert error.code == "agent-too-old"
    assert "AWS-UpdateSSMAgent" in error.hint


def test_agents_that_may_not_be_asked_are_no_cause() -> None:
    examined = patient(DescribeInstanceInformation=DENIED)
    bastion.running(examined)
    with pytest.raises(SkipCheck):
        bastion.agent(examined)


@pytest.mark.parametrize(("pings", "serving"), [(("ConnectionLost", "Online"), "i-2"), ((), "i-1")])
def test_of_two_the_one_that_a_connection_would_take_is_looked_at(
    pings: tuple[str, ...], serving: str
) -> None:
    both = [INSTANCE, {**INSTANCE, "InstanceId": "i-2"}]
    known = [
        {"InstanceId": f"i-{number}", "PingStatus": ping, "AgentVersion": "3.3.1230.0"}
        for number, ping in enumerate(pings, 1)
    ]
    examined = patient(
        DescribeInstances={"Reservations": [{"Instances": both}]},
        DescribeInstanceInformation={"InstanceInformationList": known},
    )
    assert bastion.running(examined) == serving
    assert examined.bastion is not None
    assert examined.bastion["InstanceId"] == serving


def guarded(*groups: str) -> dict[str, Any]:
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
def test_an_agent_that_is_offline_has_to_be_let_in_by_the_endpoints(
    peers: dict[str, Any], port: int, ping: str, *, closed: bool
) -> None:
    own = {"PrivateIpAddress": "10.0.0.9", "SecurityGroups": [{"GroupId": "sg-bastion"}]}
    examined = patient(
        DescribeInstances={"Reservations": [{"Instances": [{**INSTANCE, **own}]}]},
        DescribeInstanceInformation=information(ping),
        DescribeVpcEndpoints=guarded("sg-1"),
        DescribeSecurityGroups={"SecurityGroups": [group("sg-1", port, **peers)]},
    )
    bastion.running(examined)
    if not closed:
        assert bastion.endpoint_groups(examined)
        return
    error = failure(bastion.endpoint_groups, examined)
    assert error.code == "bastion-offline"
    assert "sg-1, a group of the endpoint for ssm," in error.message
    assert error.hint.endswith("--port 443 --source-group sg-bastion --region eu-west-1")


def test_endpoints_without_groups_or_that_may_not_be_asked_are_no_cause() -> None:
    for found, groups in ((endpoints("ssm"), {}), (DENIED, {}), (guarded("sg-1"), DENIED)):
        examined = patient(DescribeVpcEndpoints=found, DescribeSecurityGroups=groups)
        bastion.running(examined)
        with pytest.raises(SkipCheck):
            bastion.endpoint_groups(examined)
