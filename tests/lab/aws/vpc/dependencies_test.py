"""A resource in use cannot be deleted, and a deleted one is no longer listed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from sm_proxy_lab.account import ENFORCED
from tests.lab.aws.harness import Lab, refusal


@pytest.fixture
def vpc(lab: Lab) -> str:
    tag = {"ResourceType": "vpc", "Tags": [{"Key": ENFORCED, "Value": "yes"}]}
    made = lab.client("ec2").create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=[tag])
    return str(made["Vpc"]["VpcId"])


def subnet(ec2: Any, vpc: str, cidr: str = "10.0.0.0/24") -> str:
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"])


def test_an_empty_subnet_is_deleted(lab: Lab, vpc: str) -> None:
    ec2 = lab.client("ec2")
    gone, kept = subnet(ec2, vpc), subnet(ec2, vpc, "10.0.1.0/24")
    ec2.delete_subnet(SubnetId=gone)
    left = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    assert [found["SubnetId"] for found in left] == [kept]
    assert refusal(ec2.delete_subnet, SubnetId=gone) == (
        "InvalidSubnetID.NotFound",
        f"The subnet ID '{gone}' does not exist",
        400,
    )
    again = subnet(ec2, vpc)  # the records can still be read
    assert refusal(ec2.delete_vpc, VpcId=vpc)[0] == "DependencyViolation"
    ec2.delete_subnet(SubnetId=again)


@pytest.mark.parametrize("user", ["instance", "stopped", "endpoint"])
def test_a_subnet_or_group_in_use_stays(lab: Lab, vpc: str, user: str) -> None:
    ec2 = lab.client("ec2")
    used = subnet(ec2, vpc)
    group = ec2.create_security_group(GroupName=uuid.uuid4().hex, Description="x", VpcId=vpc)
    if user == "endpoint":
        made = ec2.create_vpc_endpoint(
            VpcId=vpc,
            VpcEndpointType="Interface",
            ServiceName="com.amazonaws.us-east-1.ssm",
            SubnetIds=[used],
            SecurityGroupIds=[group["GroupId"]],
        )["VpcEndpoint"]["VpcEndpointId"]
    else:
        made = ec2.run_instances(
            ImageId="ami-12345678",
            MinCount=1,
            MaxCount=1,
            SubnetId=used,
            SecurityGroupIds=[group["GroupId"]],
        )["Instances"][0]["InstanceId"]
    if user == "stopped":
        ec2.stop_instances(InstanceIds=[made])
    words = f"The subnet '{used}' has dependencies and cannot be deleted."
    assert refusal(ec2.delete_subnet, SubnetId=used) == ("DependencyViolation", words, 400)
    assert ec2.describe_subnets(SubnetIds=[used])["Subnets"]
    words = f"resource {group['GroupId']} has a dependent object"
    refused = refusal(ec2.delete_security_group, GroupId=group["GroupId"])
    assert refused == ("DependencyViolation", words, 400)
    if user == "endpoint":
        ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    else:
        ec2.terminate_instances(InstanceIds=[made])
    ec2.delete_security_group(GroupId=group["GroupId"])
    ec2.delete_subnet(SubnetId=used)
    assert refusal(ec2.describe_subnets, SubnetIds=[used])[0] == "InvalidSubnetID.NotFound"
