"""Without a packet filter, the AWS endpoint enforces records that block a connection."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from sm_proxy_lab.account import ENFORCED
from tests.lab.aws.harness import Lab

_NODE = "10.0.1.9"
_REMOTE = "AWS-StartPortForwardingSessionToRemoteHost"


@dataclass
class Account:
    """An enforced VPC with a bastion in one subnet and a job's container in the other."""

    lab: Lab
    vpc: str
    group: str
    bastion: str
    acl: str

    @property
    def ec2(self) -> Any:
        return self.lab.client("ec2")

    @property
    def rule(self) -> list[dict[str, Any]]:
        return [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": self.group}]}]

    def dropped(self) -> bool:
        """Whether the gateway was told to let the dial hang."""
        given = {"host": [_NODE], "portNumber": ["22"]}
        self.lab.client("ssm").start_session(
            Target=self.bastion, DocumentName=_REMOTE, Parameters=given
        )
        return bool(self.lab.gateway.asked[-1].get("dropped"))

    def ping(self) -> str:
        filters = [{"Key": "InstanceIds", "Values": [self.bastion]}]
        answer = self.lab.client("ssm").describe_instance_information(Filters=filters)
        return str(answer["InstanceInformationList"][0]["PingStatus"])

    def endpoint(self, service: str, *groups: str) -> str:
        made = self.ec2.create_vpc_endpoint(
            VpcId=self.vpc,
            VpcEndpointType="Interface",
            SecurityGroupIds=list(groups),
            ServiceName=f"com.amazonaws.us-east-1.{service}",
        )
        return str(made["VpcEndpoint"]["VpcEndpointId"])


@pytest.fixture
def account(lab: Lab, new_job: Callable[..., str]) -> Account:
    ec2 = lab.client("ec2")
    tag = {"ResourceType": "vpc", "Tags": [{"Key": ENFORCED, "Value": "yes"}]}
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[tag])["Vpc"]["VpcId"]
    near, far = (
        ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
        for cidr in ("10.0.0.0/24", "10.0.1.0/24")
    )
    group = ec2.create_security_group(GroupName=uuid.uuid4().hex, Description="x", VpcId=vpc)
    started = ec2.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        SubnetId=near,
        SecurityGroupIds=[group["GroupId"]],
    )
    filters = [{"Name": "association.subnet-id", "Values": [far]}]
    acl = ec2.describe_network_acls(Filters=filters)["NetworkAcls"][0]["NetworkAclId"]
    found = Account(lab, vpc, group["GroupId"], started["Instances"][0]["InstanceId"], acl)
    ec2.authorize_security_group_ingress(GroupId=found.group, IpPermissions=found.rule)
    lab.control.plugged([_NODE], [found.group])
    for service in ("ssm", "ssmmessages"):
        found.endpoint(service, found.group)
    return found


def test_a_group_without_egress_blocks_the_connection(account: Account) -> None:
    assert not account.dropped()
    everywhere = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    account.ec2.revoke_security_group_egress(GroupId=account.group, IpPermissions=everywhere)
    assert account.dropped()
    account.ec2.authorize_security_group_egress(GroupId=account.group, IpPermissions=account.rule)
    assert not account.dropped()


@pytest.mark.parametrize(("first", "last", "egress"), [(22, 22, False), (32768, 60999, True)])
def test_an_acl_blocks_requests_or_answers(
    account: Account, first: int, last: int, *, egress: bool
) -> None:
    account.ec2.create_network_acl_entry(
        NetworkAclId=account.acl,
        RuleNumber=50,
        Protocol="6",
        RuleAction="deny",
        Egress=egress,
        CidrBlock="0.0.0.0/0",
        PortRange={"From": first, "To": last},
    )
    assert account.dropped()
    account.ec2.delete_network_acl_entry(NetworkAclId=account.acl, RuleNumber=50, Egress=egress)
    assert not account.dropped()


def test_an_endpoint_whose_group_has_no_ingress_disconnects_the_agent(account: Account) -> None:
    assert account.ping() == "Online"
    account.ec2.revoke_security_group_ingress(GroupId=account.group, IpPermissions=account.rule)
    assert account.ping() == "ConnectionLost"
