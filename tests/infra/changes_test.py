from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from sm_proxy.infra import changes
from sm_proxy.infra.changes import Deployed
from tests.infra.fake_cloudformation import TEMPLATE
from tests.infra.plans import LARGEST, VARIED, resources

VALUES = {"Prefix": "10.0", "BastionCount": "1"}


def lines(change: Callable[[dict[str, Any]], object], **parameters: str) -> list[str]:
    """What an update does after a change of the template, or of parameters."""
    new = copy.deepcopy(TEMPLATE)
    change(new)
    old = Deployed(TEMPLATE, VALUES)
    return [c.line for c in changes.between(old, Deployed(new, {**VALUES, **parameters}))]


def nothing(_: dict[str, Any]) -> None:
    pass


def set_property(name: str, key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda new: new["Resources"][name].setdefault("Properties", {}).update({key: value})


def test_the_same_template_changes_nothing() -> None:
    assert lines(nothing) == []


def test_another_metadata_changes_nothing() -> None:
    assert lines(lambda new: new["Metadata"].clear()) == []


def test_added_and_removed_resources_are_named() -> None:
    assert lines(lambda new: new["Resources"].pop("Bucket")) == ["remove Bucket (AWS::S3::Bucket)"]
    assert lines(lambda new: new["Resources"].update(Log={"Type": "AWS::Logs::LogGroup"})) == [
        "add Log (AWS::Logs::LogGroup)"
    ]


def test_a_property_that_can_change_in_place_is_a_change() -> None:
    assert lines(set_property("Vpc", "EnableDnsSupport", True)) == [
        "change Vpc (AWS::EC2::VPC: EnableDnsSupport)"
    ]


def test_a_replaced_resource_replaces_those_that_cannot_do_without_it() -> None:
    assert lines(set_property("Vpc", "CidrBlock", "10.1.0.0/16")) == [
        "replace Vpc (AWS::EC2::VPC: CidrBlock)",
        "replace PrivateSubnet1 (AWS::EC2::Subnet: VpcId)",
        "replace PrivateSubnet2 (AWS::EC2::Subnet: VpcId)",
        "replace JobGroup (AWS::EC2::SecurityGroup: VpcId)",
    ]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"BastionCount": "0"}, ["change Bastion (AWS::AutoScaling::AutoScalingGroup: MaxSize)"]),
        (
            {"Prefix": "10.1"},
            [
                "replace PrivateSubnet1 (AWS::EC2::Subnet: CidrBlock)",
                "replace PrivateSubnet2 (AWS::EC2::Subnet: CidrBlock)",
            ],
        ),
    ],
)
def test_a_parameters_value_counts_where_it_is_used(
    parameters: dict[str, str], expected: list[str]
) -> None:
    assert lines(nothing, **parameters) == expected


def test_a_change_of_the_outputs_alone_is_a_change() -> None:
    assert lines(lambda new: new["Outputs"].clear()) == ["change Outputs (what the stack tells)"]


def test_attributes_and_substitutions_are_references_too() -> None:
    for reference in ({"Fn::GetAtt": ["Vpc", "VpcId"]}, {"Fn::GetAtt": "Vpc.VpcId"}, "sub"):
        value = {"Fn::Sub": "${Vpc}"} if reference == "sub" else reference
        old = copy.deepcopy(TEMPLATE)
        old["Resources"]["JobGroup"]["Properties"]["VpcId"] = value
        new = copy.deepcopy(old)
        new["Resources"]["Vpc"]["Properties"]["CidrBlock"] = "10.9.0.0/16"
        found = changes.between(Deployed(old, VALUES), Deployed(new, VALUES))
        assert "JobGroup" in [change.logical_id for change in found if change.action == "replace"]


@pytest.mark.xdist_group("cfnlint")
def test_replacing_properties_match_cloudformations_registry() -> None:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # it takes a second

    used: dict[str, set[str]] = {}
    for wanted in (LARGEST, *VARIED.values()):
        for item in resources(wanted).values():
            used.setdefault(item["Type"], set()).update(item.get("Properties") or {})
    for kind, names in used.items():
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        fixed = {
            path.removeprefix("/properties/") for path in schema.get("createOnlyProperties", ())
        }
        assert names & fixed == names & changes._REPLACING.get(kind, frozenset()), kind
