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


def test_the_way_out_of_a_vpc_goes_step_by_step(lab: Lab, vpc: str) -> None:
    ec2 = lab.client("ec2")
    place = subnet(ec2, vpc)
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=place, AllocationId=address)["NatGateway"]
    used = refusal(ec2.release_address, AllocationId=address)
    assert used[0] == "InvalidIPAddress.InUse"
    assert refusal(ec2.delete_subnet, SubnetId=place)[0] == "DependencyViolation"
    mapped = refusal(ec2.detach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc)
    assert mapped[0] == "DependencyViolation"
    assert "mapped public address" in mapped[1]
    ec2.delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
    left = ec2.describe_nat_gateways(NatGatewayIds=[nat["NatGatewayId"]])["NatGateways"]
    assert [item["State"] for item in left] == ["deleted"]
    ec2.release_address(AllocationId=address)
    ec2.delete_subnet(SubnetId=place)
    assert refusal(ec2.delete_vpc, VpcId=vpc)[0] == "DependencyViolation"
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_vpc(VpcId=vpc)


def test_a_group_in_the_rule_of_another_stays(lab: Lab, vpc: str) -> None:
    ec2 = lab.client("ec2")
    groups = [
        ec2.create_security_group(GroupName=uuid.uuid4().hex, Description="x", VpcId=vpc)["GroupId"]
        for _ in range(2)
    ]
    for peer in groups:  # its own, too, which does not count
        rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
        ec2.authorize_security_group_ingress(
            GroupId=groups[0], IpPermissions=[{**rule, "UserIdGroupPairs": [{"GroupId": peer}]}]
        )
    assert refusal(ec2.delete_security_group, GroupId=groups[1])[0] == "DependencyViolation"
    assert refusal(ec2.delete_vpc, VpcId=vpc)[0] == "DependencyViolation"
    for group in groups:
        ec2.delete_security_group(GroupId=group)
    ec2.delete_vpc(VpcId=vpc)


def test_an_endpoint_moves_to_other_subnets_and_tables(lab: Lab, vpc: str) -> None:
    ec2 = lab.client("ec2")
    places = [subnet(ec2, vpc, f"10.0.{number}.0/24") for number in range(2)]
    tables = [ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(2)]
    names = [
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName=f"com.amazonaws.us-east-1.{service}",
            VpcEndpointType=kind,
            **more,
        )["VpcEndpoint"]["VpcEndpointId"]
        for service, kind, more in (
            ("ssm", "Interface", {"SubnetIds": places[:1]}),
            ("s3", "Gateway", {"RouteTableIds": tables[:1]}),
        )
    ]

    def there() -> tuple[set[str], set[str]]:
        mine = [{"Name": "vpc-id", "Values": [vpc]}]
        interfaces = ec2.describe_network_interfaces(Filters=mine)["NetworkInterfaces"]
        found = ec2.describe_route_tables(RouteTableIds=tables)["RouteTables"]
        routed = {
            table["RouteTableId"]
            for table in found
            if any("DestinationPrefixListId" in route for route in table["Routes"])
        }
        return {item["SubnetId"] for item in interfaces}, routed

    assert there() == ({places[0]}, {tables[0]})
    ec2.modify_vpc_endpoint(
        VpcEndpointId=names[0], AddSubnetIds=places[1:], RemoveSubnetIds=places[:1]
    )
    ec2.modify_vpc_endpoint(
        VpcEndpointId=names[1], AddRouteTableIds=tables[1:], RemoveRouteTableIds=tables[:1]
    )
    assert there() == ({places[1]}, {tables[1]})
    ec2.delete_subnet(SubnetId=places[0])
    ec2.delete_route_table(RouteTableId=tables[1])  # its endpoint does not hold it
    ec2.delete_vpc_endpoints(VpcEndpointIds=names)
    ec2.delete_subnet(SubnetId=places[1])
    ec2.delete_route_table(RouteTableId=tables[0])
    ec2.delete_vpc(VpcId=vpc)
