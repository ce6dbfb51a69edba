"""Options of a plan that are not typed keep what the stack has."""

from __future__ import annotations

import argparse
import dataclasses

import pytest

from sm_proxy.commands import infra_options, infra_recorded
from sm_proxy.errors import SmProxyError
from sm_proxy.infra.plan import Plan
from sm_proxy.settings import Settings
from tests.fakes import FakeAws
from tests.infra.account import ZONES, services, zones
from tests.infra.plans import EXISTING, plan

SETTINGS = Settings(region="eu-west-1")


def planned(recorded: Plan | None, *words: str) -> Plan:
    parser = argparse.ArgumentParser()
    infra_recorded.add_plan(parser)
    aws = FakeAws(DescribeAvailabilityZones=zones(), DescribeVpcEndpointServices=services())
    return infra_recorded.plan_of(parser.parse_args(words), SETTINGS, aws, recorded)


def test_without_a_stack_the_defaults_count() -> None:
    parser = argparse.ArgumentParser()
    infra_options.add_plan(parser)
    named = ("--zones", ",".join(ZONES))
    aws = FakeAws(DescribeAvailabilityZones=zones(), DescribeVpcEndpointServices=services())
    expected = infra_options.plan_of(parser.parse_args(named), SETTINGS, aws)
    assert planned(None, *named) == expected


def test_each_option_that_is_not_typed_keeps_its_value() -> None:
    before = plan(
        2,
        ("ssm", "ssmmessages"),
        nat="none",
        prefix="172.20",
        bastion_type="t3.nano",
        bastion_days=9,
        data_buckets=("mine",),
    )
    assert planned(before) == before
    after = planned(before, "--nat", "one", "--bastion-days", "8")
    assert (after.nat, after.bastion_days, after.prefix) == ("one", 8, "172.20")
    assert set(after.endpoints) == {"s3", "ssm", "ssmmessages"}


@pytest.mark.parametrize(
    ("recorded", "words", "message"),
    [
        (plan(), ("--vpc", "vpc-0a1b2c3d"), "has its own VPC, and cannot move"),
        (plan(existing=EXISTING), ("--vpc", "vpc-99"), "uses vpc-0a1b2c3d, and cannot move"),
        (plan(existing=EXISTING), ("--zones", "2"), "has no zones of its own"),
        (plan(), ("--cidr", "10.7.0.0/16"), "has the addresses 10.0.0.0/16, and cannot change"),
    ],
)
def test_a_stack_stays_in_its_network(recorded: Plan, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(SmProxyError, match=message) as caught:
        planned(recorded, *words)
    assert caught.value.code == "usage"


def test_the_zones_of_a_stack_keep_their_order_and_so_their_addresses() -> None:
    last, first = ZONES[1], ZONES[0]
    before = dataclasses.replace(plan(), zones=(last, first))
    assert planned(before).zones == planned(before, "--zones", "2").zones == (last, first)
