"""What EC2 demands of a VPC before something can be in it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.aws.harness import Lab, refusal

REGION = "eu-west-3"
WORLD = {"DestinationCidrBlock": "0.0.0.0/0"}


@pytest.fixture
def ec2(lab: Lab) -> Any:
    return lab.client("ec2", REGION)


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


def test_a_way_out_needs_an_attached_gateway(ec2: Any, vpc: str) -> None:
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    nat = {"SubnetId": subnet, "AllocationId": ec2.allocate_address()["AllocationId"]}
    route = {"RouteTableId": table, "GatewayId": gateway, **WORLD}
    refused = refusal(ec2.create_nat_gateway, **nat)
    assert refused[:2] == (
        "Gateway.NotAttached",
        f"Network {vpc} has no Internet gateway attached",
    )
    assert refusal(ec2.create_route, **route)[:2] == (
        "InvalidParameterValue",
        f"route table {table} and network gateway {gateway} belong to different networks",
    )
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    made = ec2.create_nat_gateway(**nat)["NatGateway"]["NatGatewayId"]
    ec2.create_route(**route)
    ec2.delete_nat_gateway(NatGatewayId=made)
    ec2.release_address(AllocationId=nat["AllocationId"])


def test_private_names_need_the_dns_of_the_vpc(ec2: Any, vpc: str) -> None:
    request = {"VpcId": vpc, "ServiceName": f"com.amazonaws.{REGION}.ssm"}
    request |= {"VpcEndpointType": "Interface"}
    refused = refusal(ec2.create_vpc_endpoint, **request, PrivateDnsEnabled=True)
    assert refused[0] == "InvalidParameter"
    assert refused[1].endswith(f"VPC attributes set to true for {vpc}")
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    ec2.create_vpc_endpoint(**request, PrivateDnsEnabled=True)


def test_an_account_has_a_quota_of_addresses(lab: Lab, ec2: Any) -> None:
    made = [ec2.allocate_address()["AllocationId"] for _ in range(5)]
    assert refusal(ec2.allocate_address)[0] == "AddressLimitExceeded"
    lab.control.faults(quotas={"elastic-ip": 6})
    made.append(ec2.allocate_address()["AllocationId"])
    for name in made:
        ec2.release_address(AllocationId=name)
