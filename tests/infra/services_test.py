"""Names of endpoint services come from EC2, picked by their ending."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.infra import partition, services
from tests.fakes import FakeAws


def service(name: str, *kinds: str, zones: tuple[str, ...] = ()) -> dict[str, Any]:
    types = [{"ServiceType": kind} for kind in kinds or ("Interface",)]
    return {"ServiceName": name, "ServiceType": types, "AvailabilityZones": list(zones)}


IRELAND = "com.amazonaws.eu-west-1"
OFFERED = [
    service(f"{IRELAND}.ssm", zones=("eu-west-1a", "eu-west-1b")),
    service(f"{IRELAND}.ssmmessages"),
    service(f"{IRELAND}.ecr.api"),
    service(f"{IRELAND}.s3", "Interface"),
    service(f"{IRELAND}.s3", "Gateway"),
    service(f"{IRELAND}.other.ssm"),
    service("com.amazonaws.vpce.eu-west-1.vpce-svc-0ssm"),
]


def region(*offered: dict[str, Any]) -> FakeAws:
    return FakeAws(DescribeVpcEndpointServices={"ServiceDetails": list(offered)})


def test_services_are_found_by_their_ending() -> None:
    assert services.find(region(*OFFERED), ["ssm", "ecr.api", "ssmmessages", "ssm"]) == {
        "ssm": f"{IRELAND}.ssm",
        "ecr.api": f"{IRELAND}.ecr.api",
        "ssmmessages": f"{IRELAND}.ssmmessages",
    }


def test_nothing_wanted_makes_no_call() -> None:
    assert services.find(FakeAws(), []) == {}


def test_all_pages_are_read() -> None:
    pages: list[Any] = [
        {"ServiceDetails": OFFERED[:1], "NextToken": "more"},
        {"ServiceDetails": OFFERED[1:]},
    ]
    aws = FakeAws(DescribeVpcEndpointServices=pages)
    assert services.find(aws, ["ecr.api"]) == {"ecr.api": f"{IRELAND}.ecr.api"}
    assert [parameters for _, parameters in aws.calls] == [{}, {"NextToken": "more"}]


def test_s3_is_a_gateway() -> None:
    only_interface = region(service(f"{IRELAND}.s3", "Interface"))
    with pytest.raises(SmProxyError, match="'s3' for a VPC endpoint of the type Gateway"):
        services.find(only_interface, ["s3"])
    assert services.find(region(*OFFERED), ["s3"]) == {"s3": f"{IRELAND}.s3"}


def test_china_is_as_the_service_names_it() -> None:
    aws = region(
        service("cn.com.amazonaws.cn-north-1.ecr.api"),
        service("com.amazonaws.cn-north-1.ssm"),
        service("cn.com.amazonaws.cn-north-1.s3"),
        service("com.amazonaws.cn-north-1.s3", "Gateway"),
    )
    aws._region = "cn-north-1"
    names = ("ecr.api", "ssm", "s3")
    assert services.find(aws, names) == partition.service_names("cn-north-1", names)


def test_a_service_that_the_region_lacks_is_named() -> None:
    with pytest.raises(SmProxyError, match=r"eu-west-1 has no service 'ecr\.dkr'") as caught:
        services.find(region(*OFFERED), ["ssm", "ecr.dkr"])
    assert caught.value.hint == "There is ecr.api."
    with pytest.raises(SmProxyError, match="'nonsense'") as caught:
        services.find(region(*OFFERED), ["nonsense"])
    assert "describe-vpc-endpoint-services" in caught.value.hint


def test_a_zone_without_the_service_is_named() -> None:
    aws = region(*OFFERED)
    assert services.find(aws, ["ssm", "s3"], ["eu-west-1b"])["ssm"] == f"{IRELAND}.ssm"
    assert services.find(aws, ["ssmmessages"], ["eu-west-1c"])  # the answer names no zones
    with pytest.raises(SmProxyError, match=r"eu-west-1\.ssm is not offered in eu-west-1c"):
        services.find(aws, ["ssm"], ["eu-west-1a", "eu-west-1c"])
