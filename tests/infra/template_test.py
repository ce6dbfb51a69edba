"""The template of a plan."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from sm_proxy.infra import template
from sm_proxy.infra.plan import Plan
from tests.infra.plans import EXISTING, LARGEST, VARIED, plan, resources


def of_type(made: Plan, kind: str) -> list[str]:
    return [name for name, item in resources(made).items() if item["Type"] == f"AWS::{kind}"]


@pytest.mark.parametrize("zones", range(2, 7))
def test_each_zone_has_the_subnets_of_the_address_plan(zones: int) -> None:
    found = resources(plan(zones))
    for number in range(1, zones + 1):
        for kind, octet in (("Public", 16 * (number - 1)), ("Private", 128 + 16 * (number - 1))):
            subnet = found[f"{kind}Subnet{number}"]["Properties"]
            assert subnet["CidrBlock"] == {"Fn::Sub": f"${{Prefix}}.{octet}.0/20"}
            assert subnet["AvailabilityZone"] == f"eu-west-1{'abcdef'[number - 1]}"
            assert subnet["MapPublicIpOnLaunch"] is False


@pytest.mark.parametrize(
    ("nat", "gateways", "subnets"), [("one", 1, 6), ("per-zone", 3, 6), ("none", 0, 3)]
)
def test_nat_gateways_are_as_many_as_asked(nat: Any, gateways: int, subnets: int) -> None:
    made = plan(3, ("ssm", "ssmmessages"), nat=nat)
    assert len(of_type(made, "EC2::NatGateway")) == made.nat_gateways == gateways
    assert len(of_type(made, "EC2::EIP")) == gateways
    assert len(of_type(made, "EC2::Subnet")) == subnets
    assert bool(of_type(made, "EC2::InternetGateway")) == bool(gateways)


def test_an_existing_vpc_gets_no_network() -> None:
    made = plan(existing=EXISTING)
    assert "Prefix" not in template.render(made)["Parameters"]
    network = ("VPC", "Subnet", "Route", "RouteTable", "NatGateway", "EIP", "VPCEndpoint")
    assert not [name for kind in network for name in of_type(made, f"EC2::{kind}")]
    assert resources(made)["Bastion"]["Properties"]["VPCZoneIdentifier"] == list(EXISTING.subnets)
    assert resources(made)["JobGroup"]["Properties"]["VpcId"] == EXISTING.vpc_id


@pytest.mark.parametrize("existing", [None, EXISTING])
def test_only_in_an_existing_vpc_does_the_bastion_reach_jobs_of_other_groups(
    existing: Any,
) -> None:
    group = resources(plan(existing=existing))["BastionGroup"]["Properties"]
    rules = [rule for rule in group["SecurityGroupEgress"] if rule["FromPort"] != 443]
    ports = {rule["FromPort"] for rule in rules if rule.get("CidrIp") == "10.0.0.0/8"}
    assert ports == ({22, 2222} if existing else set())
    assert "0.0.0.0/0" not in {rule.get("CidrIp") for rule in rules}


def test_an_interface_endpoint_is_in_one_zone_unless_no_zone_may_need_another() -> None:
    for nat, zones in (("one", 1), ("none", 1), ("per-zone", 3)):
        made = plan(3, ("ssm", "ssmmessages", "ecr.api"), nat=nat)
        found = resources(made)["EcrApiEndpoint"]["Properties"]["SubnetIds"]
        assert len(found) == made.endpoint_zones == zones


def test_the_largest_template_fits_into_a_request() -> None:
    text = template.as_json(template.render(LARGEST))
    assert len(text.encode()) < template.LARGEST


@pytest.mark.parametrize("made", VARIED.values())
def test_all_forms_say_the_same(made: Plan) -> None:
    found = template.render(made)
    plain = json.loads(json.dumps(found))
    assert json.loads(template.as_json(found)) == plain
    text = template.as_yaml(found)
    assert yaml.safe_load(text) == plain
    assert "&id" not in text


@pytest.mark.parametrize("made", VARIED.values())
def test_the_template_keeps_its_plan(made: Plan) -> None:
    text = template.as_json(template.render(made))
    assert Plan.of_data(json.loads(text)["Metadata"][template.METADATA]) == made


def test_a_plan_of_a_later_version_can_be_read() -> None:
    assert Plan.of_data({**plan().as_data(), "moon": 1}) == plan()
