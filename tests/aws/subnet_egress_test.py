"""Which route tables and endpoints lead a subnet to a service."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws import subnet_egress


def table(name: str, *routes: dict[str, Any], **association: Any) -> dict[str, Any]:
    return {"RouteTableId": name, "Routes": list(routes), "Associations": [association]}


MAIN = table("rtb-main", Main=True)
OWN = table("rtb-own", SubnetId="subnet-1")
NAT = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
INTERNET = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}


def test_a_subnets_own_table_wins_over_the_main_one() -> None:
    assert subnet_egress.tables_of([MAIN, OWN], "subnet-1") == [OWN]
    assert subnet_egress.tables_of([MAIN, OWN], "subnet-2") == [MAIN]
    assert subnet_egress.tables_of([OWN], "subnet-2") == []


@pytest.mark.parametrize(
    ("route", "private", "public"),
    [
        (NAT, True, True),
        (INTERNET, False, True),
        ({**NAT, "State": "blackhole"}, False, False),
        ({**NAT, "DestinationCidrBlock": "10.0.0.0/8"}, False, False),
    ],
)
def test_an_internet_gateway_serves_public_addresses_only(
    route: dict[str, Any], private: bool, public: bool
) -> None:
    assert subnet_egress.leads_out(table("rtb", route)) is private
    assert subnet_egress.leads_out(table("rtb", route), public=public) is public


def endpoint(service: str, kind: str = "Interface", **changes: Any) -> dict[str, Any]:
    return {"ServiceName": f"com.amazonaws.x.{service}", "VpcEndpointType": kind, **changes}


def test_endpoints_are_found_by_the_ending_of_their_service() -> None:
    api, gateway = endpoint("ecr.api"), endpoint("s3", "Gateway")
    pending = endpoint("ssm", State="PendingAcceptance")
    found = [api, gateway, pending, endpoint("ssmmessages", State="Available")]
    assert subnet_egress.endpoints_for(found, "ecr.api") == [api]
    assert subnet_egress.endpoints_for(found, "s3", "Interface") == []
    assert subnet_egress.endpoints_for(found, "s3", "Gateway") == [gateway]
    assert subnet_egress.endpoints_for(found, "ssm") == []
    assert len(subnet_egress.endpoints_for(found, "ssmmessages")) == 1


def test_a_gateway_serves_the_route_tables_that_it_is_in() -> None:
    gateway = endpoint("s3", "Gateway", RouteTableIds=["rtb-own"])
    assert subnet_egress.is_served([OWN], [gateway])
    assert not subnet_egress.is_served([MAIN], [gateway])


def test_the_groups_of_endpoints_are_their_ids() -> None:
    guarded = endpoint("ssm", Groups=[{"GroupId": "sg-1"}, {"GroupId": "sg-2"}])
    assert subnet_egress.groups_of([guarded, endpoint("ssm")]) == ["sg-1", "sg-2"]
