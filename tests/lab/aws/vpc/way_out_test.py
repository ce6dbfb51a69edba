"""An empty account: whether the agent of an instance reaches Systems Manager, in any VPC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.lab.aws.harness import REGION, running
from tests.waits import await_true

_ALL = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
_ROLE = "Bastion"
_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
_OUT = {"DestinationCidrBlock": "0.0.0.0/0"}
_TAG = {"ResourceType": "instance", "Tags": [{"Key": "sm-proxy:role", "Value": "bastion"}]}


@dataclass
class Account:
    """An account with a VPC that has one private and one public subnet, and an instance in each."""

    ec2: Any
    ssm: Any
    iam: Any

    def __post_init__(self) -> None:
        """Make the VPC."""
        ec2 = self.ec2
        self.iam.create_role(RoleName=_ROLE, AssumeRolePolicyDocument=_TRUST)
        self.iam.create_instance_profile(InstanceProfileName=_ROLE)
        self.iam.add_role_to_instance_profile(InstanceProfileName=_ROLE, RoleName=_ROLE)
        self.vpc = ec2.create_vpc(CidrBlock="172.20.0.0/16")["Vpc"]["VpcId"]
        self.public, self.private = (
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
            for cidr in ("172.20.0.0/20", "172.20.128.0/20")
        )
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.group, self.endpoint_group = (
            ec2.create_security_group(GroupName=name, Description="x", VpcId=self.vpc)["GroupId"]
            for name in ("bastion", "endpoints")
        )
        self.table, self.inner = self.routes(self.public), self.routes(self.private)
        ec2.create_route(RouteTableId=self.table, GatewayId=self.gateway, **_OUT)

    def routes(self, subnet: str) -> str:
        made = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.ec2.associate_route_table(RouteTableId=made, SubnetId=subnet)
        return str(made)

    def allow(self, *actions: str) -> None:
        """Let the instances' role do only this."""
        allowed = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        self.iam.put_role_policy(RoleName=_ROLE, PolicyName="all", PolicyDocument=policy)

    def run(self, subnet: str, **more: Any) -> str:
        given = {"SubnetId": subnet, "SecurityGroupIds": [self.group]} if not more else {}
        made = self.ec2.run_instances(
            ImageId="ami-12345678",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[_TAG],
            IamInstanceProfile={"Name": _ROLE},
            **given,
            **more,
        )
        return str(made["Instances"][0]["InstanceId"])

    def pings(self) -> dict[str, str]:
        """The PingStatus of each instance that Systems Manager knows."""
        found = self.ssm.describe_instance_information()["InstanceInformationList"]
        return {each["InstanceId"]: each["PingStatus"] for each in found}

    def owners(self, subnet: str) -> set[str]:
        """The types of the network interfaces in a subnet; each has an address of it."""
        there = [{"Name": "subnet-id", "Values": [subnet]}]
        found = self.ec2.describe_network_interfaces(Filters=there)["NetworkInterfaces"]
        assert all(each["PrivateIpAddress"].startswith("172.20.") for each in found)
        return {each["InterfaceType"] for each in found}

    def status(self, instance: str) -> str:
        return str(self.ssm.get_connection_status(Target=instance)["Status"])


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with running(tmp_path_factory.mktemp("aws"), "--empty") as lab:
        yield Account(*(lab.client(service) for service in ("ec2", "ssm", "iam")))


def test_an_agent_is_known_once_it_has_started_and_found_a_way_out(account: Account) -> None:
    ec2, inner = account.ec2, account.inner
    hidden = account.run(account.private)
    nics = {"DeviceIndex": 0, "SubnetId": account.public, "Groups": [account.group]}
    shown = account.run("", NetworkInterfaces=[{**nics, "AssociatePublicIpAddress": True}])
    assert account.status(shown) == "notconnected"  # its role allows nothing
    account.allow("ssm:UpdateInstanceInformation", "ssmmessages:*")
    await_true(lambda: account.pings() == {shown: "Online"}, 60, account.pings)
    account.allow("ssmmessages:*")
    assert account.pings() == {shown: "ConnectionLost"}
    account.allow("ssm:*", "ssmmessages:*")

    ec2.create_route(RouteTableId=inner, GatewayId=account.gateway, **_OUT)
    assert account.status(hidden) == "notconnected"  # an internet gateway, but no public address
    ec2.delete_route(RouteTableId=inner, **_OUT)

    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    made = ec2.create_nat_gateway(SubnetId=account.public, AllocationId=address)
    nat = {"NatGatewayId": made["NatGateway"]["NatGatewayId"]}
    ec2.create_route(RouteTableId=inner, **nat, **_OUT)
    assert account.pings() == {shown: "Online", hidden: "Online"}
    assert account.owners(account.public) == {"interface", "nat_gateway"}
    ec2.delete_route(RouteTableId=account.table, **_OUT)  # now the NAT gateway has no way out
    assert account.pings() == {shown: "ConnectionLost", hidden: "ConnectionLost"}
    ec2.create_route(RouteTableId=account.table, GatewayId=account.gateway, **_OUT)

    ec2.revoke_security_group_egress(GroupId=account.group, IpPermissions=[_ALL])
    assert account.status(hidden) == "notconnected"
    ec2.authorize_security_group_egress(GroupId=account.group, IpPermissions=[_ALL])
    ec2.delete_nat_gateway(**nat)
    assert account.status(hidden) == "notconnected"

    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    to, peer = ({**https, "UserIdGroupPairs": [{"GroupId": group}]} for group in _pair(account))
    ec2.authorize_security_group_ingress(GroupId=account.endpoint_group, IpPermissions=[peer])
    for service in ("ssm", "ssmmessages"):
        ec2.create_vpc_endpoint(
            VpcId=account.vpc,
            VpcEndpointType="Interface",
            SubnetIds=[account.private],
            SecurityGroupIds=[account.endpoint_group],
            ServiceName=f"com.amazonaws.{REGION}.{service}",
        )
    assert account.status(hidden) == "connected"
    ec2.revoke_security_group_egress(GroupId=account.group, IpPermissions=[_ALL])
    assert account.status(hidden) == "notconnected"
    ec2.authorize_security_group_egress(GroupId=account.group, IpPermissions=[to])
    assert account.status(hidden) == "connected"

    assert account.owners(account.private) == {"interface", "vpc_endpoint"}
    ec2.terminate_instances(InstanceIds=[hidden])
    assert hidden not in account.pings()


def _pair(account: Account) -> tuple[str, str]:
    return account.endpoint_group, account.group
