"""A plan refuses what AWS would refuse later."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.infra.plan import Existing, Plan

ZONES = ("eu-west-1a", "eu-west-1b")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"zones": ZONES[:1]}, "Name 2 to 6"),
        ({"zones": ("eu-west-1a", "eu-west-1a")}, "different"),
        ({"zones": tuple(f"eu-west-1{c}" for c in "abcdefg")}, "Name 2 to 6"),
        ({"zones": ("eu-west-1a", "us-east-1a")}, "not an availability zone of eu-west-1"),
        ({"zones": ("eu-west-1a", "eu-west-1")}, "not an availability zone"),
        ({"prefix": "11.0"}, "private range"),
        ({"prefix": "10.256"}, "private range"),
        ({"prefix": "172.32"}, "private range"),
        ({"bastion_days": 6}, "7 to 365"),
        ({"bastion_days": 366}, "7 to 365"),
        ({"bastion_type": "nano"}, "instance type"),
        ({"stack": "Sm_proxy"}, "lower-case"),
        ({"stack": "a" * 36}, "35"),
        ({"data_buckets": ("s3://data",)}, "s3://"),
        ({"nat": "none"}, "--endpoints ssm,ssmmessages"),
    ],
)
def test_a_wrong_value_is_refused_with_the_way_out(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        Plan(**{"region": "eu-west-1", "zones": ZONES, **wrong})
    assert caught.value.code == "usage"
    assert says in caught.value.text


@pytest.mark.parametrize("prefix", ["10.0", "10.255", "172.16", "172.31", "192.168"])
def test_private_ranges_are_taken(prefix: str) -> None:
    assert Plan("eu-west-1", ZONES, prefix=prefix).prefix == prefix


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        ("t4g.nano", "arm64"),
        ("c6gn.medium", "arm64"),
        ("im4gn.large", "arm64"),
        ("t3.nano", "x86_64"),
        ("t3a.nano", "x86_64"),
        ("g5.xlarge", "x86_64"),
        ("m7i-flex.large", "x86_64"),
    ],
)
def test_the_type_tells_the_processor(kind: str, architecture: str) -> None:
    assert Plan("eu-west-1", ZONES, bastion_type=kind).architecture == architecture


@pytest.mark.parametrize(
    ("vpc", "subnets"),
    [("vpc", ("subnet-0a1b2c3d",)), ("vpc-0a1b2c3d", ()), ("vpc-0a1b2c3d", ("sn-1",))],
)
def test_an_id_must_look_like_one(vpc: str, subnets: tuple[str, ...]) -> None:
    with pytest.raises(SmProxyError) as caught:
        Existing(vpc, subnets)
    assert caught.value.code == "usage"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"region": "eu-west-1", "zones": 3},
        {"region": "eu-west-1", "zones": [1, 2]},
        {"region": "eu-west-1", "existing": {"vpc_id": "vpc-0a1b2c3d"}},
        {"region": "eu-west-1", "existing": "vpc-0a1b2c3d"},
        {"region": "eu-west-1", "zones": list(ZONES), "bastion_type": None},
    ],
)
def test_an_edited_plan_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(SmProxyError) as caught:
        Plan.of_data(data)
    assert caught.value.code == "usage"
    assert "changed by hand" in caught.value.hint
