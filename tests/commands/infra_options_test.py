"""Options of `infra` become a plan: by what AWS says, or without a call by what they name."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from sm_proxy.commands import infra_options
from sm_proxy.errors import SmProxyError
from sm_proxy.infra.plan import Existing, Plan
from sm_proxy.settings import Settings
from tests.fakes import FakeAws

IRELAND = Settings(region="eu-west-1")
VPC, SUBNET = "vpc-0a1b2c3d", "subnet-0a1b2c3d"
S3 = {"s3": "com.amazonaws.eu-west-1.s3"}


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    infra_options.add_plan(parser)
    infra_options.add_prices(parser)
    return parser.parse_args(words)


def plan(*words: str, aws: FakeAws | None = None, settings: Settings = IRELAND) -> Plan:
    return infra_options.plan_of(parsed(*words), settings, aws)


def region(**changes: Any) -> FakeAws:
    zones = [{"ZoneName": f"eu-west-1{letter}"} for letter in "dcba"]
    names = {"s3": "Gateway", "ssm": "Interface", "ssmmessages": "Interface"}
    services = [
        {
            "ServiceName": f"com.amazonaws.eu-west-1.{name}",
            "ServiceType": [{"ServiceType": kind}],
            "AvailabilityZones": ["eu-west-1a", "eu-west-1b"],
        }
        for name, kind in names.items()
    ]
    answers: dict[str, Any] = {
        "DescribeAvailabilityZones": {"AvailabilityZones": zones},
        "DescribeVpcEndpointServices": {"ServiceDetails": services},
        "DescribeVpcs": {"Vpcs": [{"VpcId": VPC}]},
        "DescribeSubnets": {"Subnets": [{"SubnetId": SUBNET, "CidrBlock": "10.0.0.0/24"}]},
        "DescribeRouteTables": {
            "RouteTables": [
                {
                    "Associations": [{"Main": True}],
                    "Routes": [{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}],
                }
            ]
        },
        "DescribeVpcEndpoints": {},
    }
    return FakeAws(**{**answers, **changes})


def test_without_options_aws_tells_zones_and_services() -> None:
    found = plan(aws=region())
    assert found == Plan("eu-west-1", ("eu-west-1a", "eu-west-1b", "eu-west-1c"), endpoints=S3)


def test_zone_names_need_no_call() -> None:
    found = plan("--zones", "b,eu-west-1a", "--nat", "none")
    assert found.zones == ("eu-west-1a", "eu-west-1b")
    assert sorted(found.endpoints) == ["s3", "ssm", "ssmmessages"]
    existing = plan("--vpc", VPC, "--subnets", SUBNET).existing
    assert existing == Existing(VPC, (SUBNET,))


def test_the_names_of_services_are_those_that_aws_tells() -> None:
    other = {
        "ServiceName": "cn.com.amazonaws.eu-west-1.ssm",
        "ServiceType": [{"ServiceType": "Interface"}],
    }
    gateway = {"ServiceName": S3["s3"], "ServiceType": [{"ServiceType": "Gateway"}]}
    aws = region(DescribeVpcEndpointServices={"ServiceDetails": [other, gateway]})
    assert plan("--endpoints", "ssm", aws=aws).endpoints["ssm"] == other["ServiceName"]


def test_an_endpoint_must_be_offered_where_it_will_be() -> None:
    words = ("--endpoints", "ssm")
    assert plan(*words, aws=region()).endpoint_zones == 1
    with pytest.raises(SmProxyError, match="not offered in eu-west-1c"):
        plan(*words, "--nat", "per-zone", aws=region())


def test_an_existing_vpc_is_looked_at() -> None:
    assert plan("--vpc", VPC, aws=region()).existing == Existing(VPC, (SUBNET,))
    closed = region(DescribeRouteTables={})
    with pytest.raises(SmProxyError, match="no way to ssm"):
        plan("--vpc", VPC, "--subnets", SUBNET, aws=closed)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "only AWS knows the names of your availability zones"),
        (["--vpc", VPC], "no subnets are named"),
        (["--subnets", SUBNET, "--zones", "a,b"], "--subnets needs --vpc"),
        (["--zones", "us-east-1a,us-east-1b"], "not in the region eu-west-1"),
        (["--zones", "a,b", "--endpoints", "nonsense"], "'nonsense' is not an endpoint"),
    ],
)
def test_without_calls_missing_names_are_a_usage_error(words: list[str], why: str) -> None:
    with pytest.raises(SmProxyError, match=why) as caught:
        plan(*words)
    assert caught.value.code == "usage"
    assert caught.value.hint


def test_prices_are_replaced_by_name() -> None:
    assert dict(parsed("--price", "nat=0.05", "--price", "disk=0").price) == {
        "nat": 0.05,
        "disk": 0.0,
    }


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--zones", "1"], "it must be from 2 to 6 zones, not 1"),
        (["--zones", "x1"], "not 'x1'"),
        (["--price", "nut=1"], "NAME of nat"),
        (["--cidr", "10.0.0.0/8"], "10.0.0.0/16"),
    ],
)
def test_a_wrong_value_is_refused_at_once(words: list[str], why: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=why):
        parsed(*words)
