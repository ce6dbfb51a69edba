"""A job without a VPC goes where the bastion reaches it; one with a VPC is checked."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import vpc
from sm_proxy.launch.vpc import Place
from sm_proxy.settings import sources
from sm_proxy.settings.schema import LaunchNetwork
from tests.fakes import FakeAws

DENIED = SmProxyError("access-denied", "ec2:Describe is denied", "Allow it.")
PLACE = Place(("subnet-job",), ("sg-job",))
SUBNETS = {"Subnets": [{"VpcId": "vpc-1", "CidrBlock": "10.0.1.0/24"}]}
ONLINE = {
    "InstanceInformationList": [
        {"InstanceId": "i-1", "PingStatus": "Online", "AgentVersion": "3.3.0.0"}
    ]
}


def hosts(*vpcs: str) -> dict[str, Any]:
    return {
        "Reservations": [
            {
                "Instances": [
                    {
                        "InstanceId": f"i-{number}",
                        "State": {"Name": "running"},
                        "VpcId": name,
                        "SubnetId": f"subnet-{number}",
                        "PrivateIpAddress": "10.0.0.9",
                        "SecurityGroups": [{"GroupId": "sg-bastion"}],
                    }
                ]
            }
            for number, name in enumerate(vpcs, 1)
        ]
    }


def rule(port: int = 2222, **sources: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **sources}


def from_bastion(port: int = 2222) -> dict[str, Any]:
    return rule(port, UserIdGroupPairs=[{"GroupId": "sg-bastion"}])


OUT = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def groups(**ingress: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "SecurityGroups": [
            {
                "GroupId": name.replace("_", "-"),
                "IpPermissions": rules,
                "IpPermissionsEgress": [OUT],
            }
            for name, rules in ingress.items()
        ]
    }


def aws_with(**changes: Any) -> FakeAws:
    answers: dict[str, Any] = {
        "DescribeInstances": hosts("vpc-1"),
        "DescribeSecurityGroups": groups(sg_bastion=[], sg_job=[from_bastion()]),
        "DescribeSubnets": SUBNETS,
        "DescribeInstanceInformation": ONLINE,
        "DescribeRouteTables": {"RouteTables": [table(NAT, Main=True)]},
        "DescribeVpcEndpoints": {},
    }
    return FakeAws(**{**answers, **changes})


def test_the_group_that_admits_the_bastion_is_chosen() -> None:
    assert vpc.of_bastion(aws_with(), None, (2222,)) == Place(("subnet-1",), ("sg-job",))


def test_a_group_that_names_the_bastions_group_wins_over_one_that_admits_everybody() -> None:
    everybody = rule(IpRanges=[{"CidrIp": "10.0.0.0/8"}])
    aws = aws_with(DescribeSecurityGroups=groups(sg_all=[everybody], sg_job=[from_bastion()]))
    assert vpc.of_bastion(aws, None, (2222,)).security_groups == ("sg-job",)
    aws = aws_with(DescribeSecurityGroups=groups(sg_all=[everybody], sg_other=[]))
    assert vpc.of_bastion(aws, None, (2222,)).security_groups == ("sg-all",)


def test_the_bastions_own_group_is_taken_if_no_other_names_it() -> None:
    members = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-bastion"}]}
    aws = aws_with(DescribeSecurityGroups=groups(sg_bastion=[members], sg_job=[from_bastion()]))
    assert vpc.of_bastion(aws, None, (2222,)).security_groups == ("sg-job",)
    aws = aws_with(DescribeSecurityGroups=groups(sg_bastion=[members], sg_job=[]))
    assert vpc.of_bastion(aws, None, (2222,)).security_groups == ("sg-bastion",)


def test_the_subnets_of_all_bastions_of_one_vpc_are_taken() -> None:
    aws = aws_with(DescribeInstances=hosts("vpc-1", "vpc-1"))
    assert vpc.of_bastion(aws, None, (2222,)).subnets == ("subnet-1", "subnet-2")


def test_a_job_does_not_share_the_bastions_public_subnet() -> None:
    tables = [table(NAT, Main=True), table(INTERNET, SubnetId="subnet-1")]
    subnets = {
        "Subnets": [
            {"SubnetId": name, "VpcId": "vpc-1", "CidrBlock": "10.0.1.0/24"}
            for name in ("subnet-c", "subnet-1", "subnet-b")
        ]
    }
    aws = aws_with(DescribeRouteTables={"RouteTables": tables}, DescribeSubnets=subnets)
    assert vpc.of_bastion(aws, None, (2222,)).subnets == ("subnet-b", "subnet-c")
    nowhere = {"RouteTables": [table(INTERNET, Main=True)]}
    aws = aws_with(DescribeRouteTables=nowhere, DescribeSubnets=subnets)
    assert vpc.of_bastion(aws, None, (2222,)).subnets == ("subnet-1",)


def test_a_named_bastion_is_asked_for_by_its_id() -> None:
    aws = aws_with()
    vpc.of_bastion(aws, "i-1", (2222,))
    assert aws.calls[0] == ("DescribeInstances", {"InstanceIds": ["i-1"]})


NO_VPC: dict[str, tuple[dict[str, Any], str]] = {
    "no bastion": ({"DescribeInstances": hosts()}, "there is no bastion"),
    "two VPCs": ({"DescribeInstances": hosts("vpc-1", "vpc-2")}, "vpc-1, vpc-2"),
    "no group": ({"DescribeSecurityGroups": groups(sg_job=[])}, "no security group allows"),
    "wrong port": (
        {"DescribeSecurityGroups": groups(sg_job=[from_bastion(22)])},
        "no security group allows",
    ),
    "two groups": (
        {"DescribeSecurityGroups": groups(sg_a=[from_bastion()], sg_b=[from_bastion()])},
        "sg-a, sg-b",
    ),
    "instances denied": ({"DescribeInstances": DENIED}, "ec2:Describe is denied"),
    "groups denied": ({"DescribeSecurityGroups": DENIED}, "ec2:Describe is denied"),
    "refused": (
        {"DescribeInstances": ServiceError("InvalidInstanceID.NotFound", "gone", "ec2:x")},
        "InvalidInstanceID.NotFound",
    ),
}


@pytest.mark.parametrize("case", NO_VPC)
def test_a_network_that_is_not_clear_is_not_guessed(case: str) -> None:
    changes, words = NO_VPC[case]
    with pytest.raises(SmProxyError) as caught:
        vpc.of_bastion(aws_with(**changes), None, (2222,))
    assert caught.value.code == "no-vpc"
    assert words in caught.value.message
    assert "--subnets" in caught.value.hint
    assert "--security-groups" in caught.value.hint


def test_a_bastion_outside_ec2_shows_no_network() -> None:
    with pytest.raises(SmProxyError, match="there is no bastion"):
        vpc.of_bastion(aws_with(), "mi-1", (2222,))


def test_a_job_that_the_bastion_reaches_raises_no_doubt() -> None:
    assert vpc.doubts(aws_with(), PLACE, None, (2222,)) == []
    assert vpc.doubts(aws_with(), PLACE, "i-1", (22, 2222)) == []


def test_a_closed_port_is_a_doubt_with_the_command_that_opens_it() -> None:
    aws = aws_with(DescribeSecurityGroups=groups(sg_bastion=[], sg_job=[from_bastion(22)]))
    (found,) = vpc.doubts(aws, PLACE, None, (2222,))
    assert found.code == "sshd-silent"
    assert "ingress rule of sg-job" in found.message
    assert found.hint == (
        "aws ec2 authorize-security-group-ingress --group-id sg-job --protocol tcp --port 2222"
        " --source-group sg-bastion --region eu-west-1"
    )


def test_a_bastion_that_may_not_send_is_a_doubt() -> None:
    answer = groups(sg_bastion=[], sg_job=[from_bastion()])
    answer["SecurityGroups"][0]["IpPermissionsEgress"] = []
    (found,) = vpc.doubts(aws_with(DescribeSecurityGroups=answer), PLACE, None, (2222,))
    assert "egress rule of sg-bastion" in found.message


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"DescribeInstances": hosts()}, "no-bastion"),
        ({"DescribeInstanceInformation": {"InstanceInformationList": []}}, "bastion-offline"),
    ],
)
def test_a_missing_bastion_is_a_doubt(changes: dict[str, Any], code: str) -> None:
    (found,) = vpc.doubts(aws_with(**changes), PLACE, None, (2222,))
    assert found.code == code


def test_subnets_that_are_gone_are_refused() -> None:
    gone = ServiceError("InvalidSubnetID.NotFound", "subnet-job", "ec2:DescribeSubnets")
    with pytest.raises(SmProxyError) as caught:
        vpc.doubts(aws_with(DescribeSubnets=gone), PLACE, None, (2222,))
    assert caught.value.code == "no-vpc"
    assert caught.value.hint.endswith("--subnets subnet-... --security-groups sg-...")


def table(*routes: dict[str, Any], **association: Any) -> dict[str, Any]:
    return {"RouteTableId": "rtb-1", "Routes": list(routes), "Associations": [association]}


NAT = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
INTERNET = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}
DEAD = {**NAT, "State": "blackhole"}
GATEWAY = {
    "ServiceName": "com.amazonaws.eu-west-1.s3",
    "VpcEndpointType": "Gateway",
    "RouteTableIds": ["rtb-1"],
}
INTERFACE = {"ServiceName": "com.amazonaws.eu-west-1.s3", "VpcEndpointType": "Interface"}


@pytest.mark.parametrize(
    ("tables", "endpoints", "reaches"),
    [
        ([table(NAT, Main=True)], [], True),
        ([table(SubnetId="subnet-job")], [GATEWAY], True),
        ([table(INTERNET, Main=True)], [GATEWAY], True),
        ([table(Main=True)], [{**GATEWAY, "RouteTableIds": ["rtb-2"]}], False),
        ([table(NAT, Main=True), table(SubnetId="subnet-job")], [], False),
        ([table(INTERNET, Main=True)], [], False),
        ([table(DEAD, Main=True)], [], False),
        ([table(Main=True)], [INTERFACE], True),
        ([table(Main=True)], [{**INTERFACE, "ServiceName": "com.amazonaws.x.ssm"}], False),
    ],
)
def test_a_way_to_s3(
    tables: list[dict[str, Any]], endpoints: list[dict[str, Any]], reaches: bool
) -> None:
    aws = aws_with(
        DescribeRouteTables={"RouteTables": tables},
        DescribeVpcEndpoints={"VpcEndpoints": endpoints},
    )
    assert vpc.has_way_to(aws, ("subnet-job",), "s3") is reaches


def test_the_bastions_subnet_is_taken_if_we_may_not_look_for_a_way_to_s3() -> None:
    aws = aws_with(DescribeRouteTables=DENIED)
    assert vpc.of_bastion(aws, None, (2222,)).subnets == ("subnet-1",)


NETWORK = LaunchNetwork("eu-west-1", ("subnet-a", "subnet-b"), ("sg-job",))


def test_the_network_of_the_settings_is_taken_if_it_exists() -> None:
    aws = aws_with()
    assert vpc.of_settings(aws, NETWORK) == Place(("subnet-a", "subnet-b"), ("sg-job",))
    assert aws.calls == [
        ("DescribeSubnets", {"SubnetIds": ["subnet-a", "subnet-b"]}),
        ("DescribeSecurityGroups", {"GroupIds": ["sg-job"]}),
    ]
    assert vpc.of_settings(aws_with(DescribeSubnets=DENIED), NETWORK).subnets == NETWORK.subnets


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            {"DescribeSubnets": ServiceError("InvalidSubnetID.NotFound", "no subnet-b", "x")},
            "does not exist: no subnet-b",
        ),
        (
            {"DescribeSubnets": ServiceError("InvalidSubnetID.Malformed", "invalid id", "x")},
            "does not exist: invalid id",
        ),
        (
            {"DescribeSecurityGroups": ServiceError("InvalidGroup.NotFound", "no sg-job", "x")},
            "does not exist: no sg-job",
        ),
    ],
)
def test_a_stale_network_of_the_settings_is_named_as_such(
    answers: dict[str, Any], words: str
) -> None:
    with pytest.raises(SmProxyError) as caught:
        vpc.of_settings(aws_with(**answers), NETWORK)
    assert caught.value.code == "no-vpc"
    assert f"the network of [launch] in {sources.config_file()} " in caught.value.message
    assert caught.value.message.endswith(words)
    assert "`sm-proxy infra deploy`" in caught.value.hint
    assert caught.value.hint.endswith("--subnets subnet-... --security-groups sg-...")


def test_another_failure_of_the_service_is_not_taken_for_a_stale_network() -> None:
    failed = ServiceError("InternalError", "x", "ec2:DescribeSecurityGroups")
    with pytest.raises(SmProxyError) as caught:
        vpc.of_settings(aws_with(DescribeSecurityGroups=failed), NETWORK)
    assert caught.value.code == "aws-error"


GROUPS = "DescribeSecurityGroups"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            ServiceError("InvalidGroup.NotFound", "no sg-job", "x"),
            "the job's security groups are gone: no sg-job",
        ),
        (
            {"SecurityGroups": [{"GroupId": "sg-job", "VpcId": "vpc-2"}]},
            "the security group sg-job is in vpc-2, and the subnets are in vpc-1",
        ),
    ],
)
def test_security_groups_that_the_service_would_refuse_are_a_doubt(answer: Any, why: str) -> None:
    (found,) = vpc.doubts(aws_with(**{GROUPS: answer}), PLACE, None, (2222,))
    assert (found.code, found.message) == ("no-vpc", why)
    assert found.hint.endswith("--subnets subnet-... --security-groups sg-...")
