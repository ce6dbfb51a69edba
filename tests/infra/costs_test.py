"""A stack's cost is a sum of counts and prices that are dated and can be replaced."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.infra import costs
from sm_proxy.infra.plan import Existing, Plan

ZONES = tuple(f"eu-west-1{letter}" for letter in "abcdef")
S3 = {"s3": "com.amazonaws.eu-west-1.s3"}
SMALLEST = {name: f"com.amazonaws.eu-west-1.{name}" for name in ("ssm", "ssmmessages")}
EXISTING = Existing("vpc-0a1b2c3d", ("subnet-0a1b2c3d",))


def plan(zones: int = 3, **changes: Any) -> Plan:
    return Plan(**{"region": "eu-west-1", "zones": ZONES[:zones], "endpoints": S3, **changes})


@pytest.mark.parametrize(
    ("wanted", "usd"),
    [
        (plan(), 0.0551),
        (plan(6), 0.0551),
        (plan(nat="per-zone"), 0.1551),
        (plan(6, nat="per-zone"), 0.3051),
        (plan(nat="none", endpoints={**S3, **SMALLEST}), 0.0251),
        (plan(0, existing=EXISTING, endpoints={}), 0.0051),
    ],
)
def test_the_sums_are_those_of_the_facts(wanted: Plan, usd: float) -> None:
    cost = costs.of(wanted)
    assert cost.per_hour == pytest.approx(usd)
    assert cost.per_month == pytest.approx(usd * 730)
    assert cost.is_complete


def test_each_line_says_count_and_price() -> None:
    cost = costs.of(plan(nat="per-zone", endpoints={**S3, **SMALLEST}))
    assert [line.text for line in cost.lines] == [
        "3 x NAT gateway at $0.0450 = $0.1350 an hour",
        "3 x public IPv4 address of a NAT gateway at $0.0050 = $0.0150 an hour",
        "6 x interface endpoint in one zone at $0.0100 = $0.0600 an hour",
        "1 x bastion (t4g.nano) at $0.0042 = $0.0042 an hour",
        "1 x disk of the bastion, 8 GB of gp3 at $0.0009 = $0.0009 an hour",
    ]
    assert cost.text == "about $0.215 an hour, $157 a month"
    assert costs.DATE in " ".join(cost.details)


def test_one_price_can_be_replaced() -> None:
    cost = costs.of(plan(), dict([costs.parse("NAT=0.05")]))
    assert cost.per_hour == pytest.approx(0.0601)


def test_a_bastion_of_an_unknown_price_makes_the_sum_a_lower_bound() -> None:
    cost = costs.of(plan(bastion_type="m7g.large"))
    assert not cost.is_complete
    assert cost.text.startswith("at least about $0.051 an hour")
    assert "1 x bastion (m7g.large) at an unknown price" in cost.details
    priced = costs.of(plan(bastion_type="m7g.large"), {"bastion": 0.1})
    assert priced.text.startswith("about $0.151")
    assert cost.as_data["complete"] is False


def test_a_paused_stack_has_no_bastion() -> None:
    cost = costs.of(plan(), bastions=0)
    assert cost.per_hour == pytest.approx(0.05)
    assert [line.count for line in cost.lines] == [1, 1]


def test_traffic_is_listed_where_it_is_billed() -> None:
    assert any("another zone" in item for item in costs.of(plan()).traffic)
    assert not any("another zone" in item for item in costs.of(plan(nat="per-zone")).traffic)
    bare = costs.of(plan(0, existing=EXISTING, endpoints={}))
    assert not any("GB" in item for item in bare.traffic)


def test_china_has_another_currency() -> None:
    china = Plan("cn-north-1", ("cn-north-1a", "cn-north-1b"))
    assert any("yuan" in item for item in costs.of(china).assumptions)
    assert not any("yuan" in item for item in costs.of(plan()).assumptions)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nut=1", "NAME of nat, address, endpoint, bastion, disk"),
        ("nat", "NAME=USD"),
        ("nat=", "number"),
        ("nat=-1", "number"),
        ("nat=nan", "number"),
        ("nat=1e308", "number"),
        ("nat=1e999", "number"),
    ],
)
def test_an_invalid_price_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        costs.parse(text)


def test_an_unknown_price_is_refused_with_the_names() -> None:
    with pytest.raises(SmProxyError, match="'nut'") as caught:
        costs.of(plan(), {"nut": 1.0})
    assert caught.value.code == "usage"
    assert "nat, address" in caught.value.hint
