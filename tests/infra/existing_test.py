"""Subnets of an existing VPC serve if a bastion there reaches SSM, and a job S3."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import existing
from sm_proxy.infra.plan import Existing
from tests.fakes import FakeAws

VPC = "vpc-0a1b2c3d"
A, B, PUBLIC = "subnet-0000000a", "subnet-0000000b", "subnet-0000000f"
NAT = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
INTERNET = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}


def table(name: str, *routes: dict[str, Any], subnet: str = "") -> dict[str, Any]:
    joined = {"SubnetId": subnet} if subnet else {"Main": True}
    return {"RouteTableId": name, "Routes": list(routes), "Associations": [joined]}


def endpoint(service: str, **changes: Any) -> dict[str, Any]:
    usual = {
        "VpcEndpointId": f"vpce-{service}",
        "ServiceName": f"com.amazonaws.eu-west-1.{service}",
        "VpcEndpointType": "Interface",
        "State": "available",
        "PrivateDnsEnabled": True,
        "Groups": [{"GroupId": "sg-endpoints"}],
    }
    return {**usual, **changes}


GATEWAY = endpoint("s3", VpcEndpointType="Gateway", RouteTableIds=["rtb-main"], Groups=[])
PRIVATE = [endpoint("ssm"), endpoint("ssmmessages"), GATEWAY]


def group(block: str, port: int = 443) -> dict[str, Any]:
    rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": block}]}
    return {"SecurityGroups": [{"GroupId": "sg-endpoints", "IpPermissions": [rule]}]}


def attribute(*off: str) -> Any:
    def answer(**asked: Any) -> dict[str, Any]:
        name = str(asked["Attribute"])
        return {f"{name[:1].upper()}{name[1:]}": {"Value": name not in off}}

    return answer


def vpc_with(
    *endpoints: dict[str, Any], tables: list[dict[str, Any]] | None = None, **changes: Any
) -> FakeAws:
    subnets = [
        {"SubnetId": A, "CidrBlock": "10.0.0.0/24", "AvailabilityZone": "eu-west-1a"},
        {"SubnetId": B, "CidrBlock": "10.0.1.0/24", "AvailabilityZone": "eu-west-1b"},
        {"SubnetId": PUBLIC, "CidrBlock": "10.0.9.0/24", "AvailabilityZone": "eu-west-1a"},
    ]
    public = table("rtb-public", INTERNET, subnet=PUBLIC)
    known = [table("rtb-main", NAT)] if tables is None else tables
    answers: dict[str, Any] = {
        "DescribeVpcs": {"Vpcs": [{"VpcId": VPC}]},
        "DescribeSubnets": {"Subnets": subnets},
        "DescribeRouteTables": {"RouteTables": [public, *known]},
        "DescribeVpcEndpoints": {"VpcEndpoints": list(endpoints)},
        "DescribeVpcAttribute": attribute(),
        "DescribeSecurityGroups": group("10.0.0.0/16"),
    }
    return FakeAws(**{**answers, **changes})


CLOSED = [table("rtb-main")]


def refusal(aws: FakeAws, *subnets: str, made: tuple[str, ...] = ()) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        existing.check(aws, VPC, subnets, made)
    assert caught.value.code == "no-vpc"
    return caught.value


@pytest.mark.parametrize(
    "aws", [vpc_with(), vpc_with(*PRIVATE), vpc_with(*PRIVATE, tables=CLOSED)], ids=range(3)
)
def test_private_subnets_with_a_way_out_are_found_and_may_be_named(aws: FakeAws) -> None:
    assert existing.check(aws, VPC) == Existing(VPC, (A, B))
    assert existing.check(aws, VPC, [B]) == Existing(VPC, (B,))


def test_endpoints_that_the_stack_makes_count() -> None:
    aws = vpc_with(GATEWAY, tables=CLOSED)
    assert existing.check(aws, VPC, [A], ["ssm", "ssmmessages"]) == Existing(VPC, (A,))


def test_dns_attributes_are_not_read_with_a_nat() -> None:
    aws = vpc_with()
    existing.check(aws, VPC)
    assert "DescribeVpcAttribute" not in aws.operations()


def test_only_subnets_with_a_way_out_are_taken_if_none_is_named() -> None:
    tables = [table("rtb-main", NAT), table("rtb-b", subnet=B)]
    assert existing.check(vpc_with(tables=tables), VPC) == Existing(VPC, (A,))
    error = refusal(vpc_with(tables=tables), A, B)
    assert f"{B}: no way to ssm, ssmmessages" in error.message
    assert A not in error.message


def test_a_subnet_without_a_route_out_is_reported_with_what_it_lacks() -> None:
    error = refusal(vpc_with(tables=CLOSED), A)
    assert f"{A}: no way to ssm, ssmmessages (no NAT, and no endpoint" in error.message
    assert f"{A}: no way to S3" in error.message
    assert error.hint == (
        "Add --endpoints ssm,ssmmessages, or a NAT gateway to the VPC."
        f" Run: aws ec2 create-vpc-endpoint --vpc-id {VPC} --vpc-endpoint-type Gateway"
        " --service-name com.amazonaws.eu-west-1.s3 --route-table-ids rtb-main --region eu-west-1"
    )


def test_a_problem_of_several_subnets_is_reported_once() -> None:
    error = refusal(vpc_with(tables=CLOSED))
    assert error.message.count("no way to S3") == 1
    assert f"{A}, {B}: no way to S3" in error.message


def test_an_internet_gateway_does_not_serve_the_bastion() -> None:
    error = refusal(vpc_with(), PUBLIC)
    assert "its internet gateway serves public addresses only" in error.message
    everywhere = vpc_with(tables=[table("rtb-main", INTERNET)])
    assert refusal(everywhere).message == f"{VPC} has no private subnet"


def test_an_endpoint_without_private_dns_is_not_used() -> None:
    nameless = endpoint("ssm", PrivateDnsEnabled=False)
    error = refusal(vpc_with(nameless, *PRIVATE[1:], tables=CLOSED), A)
    assert "no way to ssm (no NAT" in error.message
    assert error.hint == (
        "Run: aws ec2 modify-vpc-endpoint --vpc-endpoint-id vpce-ssm --private-dns-enabled"
        " --region eu-west-1"
    )
    assert existing.check(vpc_with(nameless), VPC, [A])  # the NAT serves it


@pytest.mark.parametrize("tables", [CLOSED, [table("rtb-main", NAT)]], ids=["closed", "nat"])
@pytest.mark.parametrize(
    ("groups", "subnets"),
    [
        (group("10.0.0.0/16", 22), (A,)),
        (group("10.0.1.0/24"), (A,)),
        (group("10.0.0.0/25"), (A,)),  # half of the subnet
    ],
)
def test_an_endpoint_must_admit_the_whole_subnet_even_with_a_nat(
    tables: list[dict[str, Any]], groups: dict[str, Any], subnets: tuple[str, ...]
) -> None:
    error = refusal(vpc_with(*PRIVATE, tables=tables, DescribeSecurityGroups=groups), *subnets)
    assert f"{A}: no ingress rule of sg-endpoints, a group of the endpoint for ssm" in error.message
    assert "--port 443 --cidr 10.0.0.0/24 --region eu-west-1" in error.hint


def test_a_group_that_we_may_not_see_is_not_judged() -> None:
    unseen = vpc_with(*PRIVATE, DescribeSecurityGroups={"SecurityGroups": []})
    assert existing.check(unseen, VPC, [A])


@pytest.mark.parametrize(
    ("off", "option"), [("enableDnsSupport", "support"), ("enableDnsHostnames", "hostnames")]
)
def test_endpoints_need_the_vpcs_dns(off: str, option: str) -> None:
    aws = vpc_with(*PRIVATE, DescribeVpcAttribute=attribute(off))
    error = refusal(aws)
    assert f"{VPC}: {off} is off" in error.message
    assert error.hint == (
        f"Run: aws ec2 modify-vpc-attribute --vpc-id {VPC} --enable-dns-{option} --region eu-west-1"
    )
    made = vpc_with(GATEWAY, tables=CLOSED, DescribeVpcAttribute=attribute(off))
    assert off in refusal(made, A, made=("ssm", "ssmmessages")).message


def test_a_second_endpoint_for_a_service_is_refused() -> None:
    error = refusal(vpc_with(*PRIVATE), A, made=("ssm",))
    assert "an endpoint for ssm already" in error.message
    assert error.hint == "Leave ssm out of --endpoints"


OURS = [{"Key": "sm-proxy:stack", "Value": "sm-proxy"}]
TAGGED = [{**item, "Tags": OURS} for item in PRIVATE[:2]]
"""The endpoints that an earlier deployment has made."""


@pytest.mark.parametrize("tagged", ["endpoint", "group"])
def test_endpoints_of_the_stack_itself_are_no_obstacle(tagged: str) -> None:
    groups = group("10.0.0.0/16", 22)
    groups["SecurityGroups"][0]["Tags"] = OURS if tagged == "group" else []
    endpoints = TAGGED if tagged == "endpoint" else PRIVATE[:2]
    aws = vpc_with(*endpoints, GATEWAY, tables=CLOSED, DescribeSecurityGroups=groups)
    assert existing.check(aws, VPC, [A], ["ssm", "ssmmessages"])
    assert "no way to ssm, ssmmessages" in refusal(aws, A).message  # it would take them away
    with pytest.raises(SmProxyError, match="an endpoint for ssm already"):
        existing.check(aws, VPC, [A], ["ssm", "ssmmessages"], stack="another")


def test_a_local_zone_has_no_jobs() -> None:
    local = {"SubnetId": A, "CidrBlock": "10.0.0.0/24", "AvailabilityZone": "eu-west-1-lon-1a"}
    error = refusal(vpc_with(DescribeSubnets={"Subnets": [local]}), A)
    assert "it is in eu-west-1-lon-1a" in error.message


def test_a_vpc_or_a_subnet_that_is_not_there_is_named() -> None:
    gone = ServiceError("InvalidVpcID.NotFound", "x", "ec2:DescribeVpcs")
    answers: list[Any] = [gone, {"Vpcs": []}]
    for answer in answers:
        error = refusal(vpc_with(DescribeVpcs=answer))
        assert error.message == f"there is no {VPC} in eu-west-1"
    error = refusal(vpc_with(), A, "subnet-99999999")
    assert error.message == f"there is no subnet-99999999 in {VPC}"
    assert A in error.hint


def test_a_failed_call_is_an_error_for_users() -> None:
    failed = ServiceError("Nonsense", "x", "ec2:DescribeRouteTables")
    with pytest.raises(SmProxyError, match="Nonsense") as caught:
        existing.check(vpc_with(DescribeRouteTables=failed), VPC)
    assert caught.value.code == "aws-error"
