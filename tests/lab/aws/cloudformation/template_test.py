"""Templates: their checks, their order, their functions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sm_proxy_lab.aws.cloudformation import intrinsics, parameters, template
from sm_proxy_lab.aws.http.errors import AwsError
from tests.lab.aws.cloudformation.helpers import LOGS, log_group

TYPES = {LOGS: None, "AWS::IAM::Role": None}


def parse(resources: dict[str, Any], **more: Any) -> template.Template:
    return template.parse(json.dumps({"Resources": resources, **more}), TYPES)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{}", "At least one Resources member must be defined"),
        ("[]", "unsupported structure"),
        ("{x: [}", "YAML not well-formed"),
        ('{"Resources": {"A": {}}}', "must contain a Type member"),
        ('{"Resources": {"A": {"Type": "X"}}}', "Unrecognized resource types: [X]"),
        (
            '{"Resources": {"A": {"Type": "AWS::Logs::LogGroup"}}, "Resorces": 1}',
            "Invalid template property or properties [Resorces]",
        ),
        (
            '{"Resources": {"A": {"Type": "AWS::Logs::LogGroup", "Propertys": {}}}}',
            "Invalid template resource property 'Propertys'",
        ),
        (
            '{"Resources": {"A": {"Type": "AWS::Logs::LogGroup", "DeletionPolicy": "Keep"}}}',
            "Unrecognized DeletionPolicy Keep for resource A",
        ),
        (
            '{"Resources": {"A-b": {"Type": "AWS::Logs::LogGroup"}}}',
            "Resource name A-b is non alphanumeric.",
        ),
        pytest.param(
            json.dumps({"Resources": {f"A{n}": {"Type": LOGS} for n in range(501)}}),
            "Number of resources, 501, is greater than maximum allowed, 500",
            id="501 resources",
        ),
    ],
)
def test_a_wrong_template_is_refused(document: str, words: str) -> None:
    with pytest.raises(AwsError) as caught:
        template.parse(document, TYPES)
    assert caught.value.code == "ValidationError"
    assert words in caught.value.message


def test_a_resource_needs_what_it_names() -> None:
    sub = {"Fn::Sub": ["${A}-${B.Arn}-${own}-${!A}-${AWS::Region}", {"own": {"Ref": "C"}}]}
    found = parse(
        {
            "A": log_group("a"),
            "B": log_group("b", DependsOn="A"),
            "C": log_group("c", DependsOn=["A", "B"]),
            "D": {"Type": LOGS, "Properties": {"LogGroupName": sub, "X": {"Ref": "Size"}}},
            "E": {"Type": LOGS, "Properties": {"LogGroupName": {"Fn::GetAtt": ["D", "Arn"]}}},
        },
        Parameters={"Size": {"Type": "String"}},
    )
    names = {name: "".join(sorted(needs)) for name, needs in found.needs.items()}
    assert names == {"A": "", "B": "A", "C": "AB", "D": "ABC", "E": "D"}


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"A": log_group("a", DependsOn="X")}, "[X] in the Resources block of the template"),
        (
            {"A": {"Type": LOGS, "Properties": {"LogGroupName": {"Ref": "X"}}}},
            "Unresolved resource dependencies [X] in the Resources block of the template",
        ),
        (
            {"A": log_group("a", DependsOn="B"), "B": log_group("b", DependsOn="A")},
            "Circular dependency between resources: [A, B]",
        ),
    ],
)
def test_resources_must_have_an_order(resources: dict[str, Any], words: str) -> None:
    with pytest.raises(AwsError) as caught:
        parse(resources)
    assert words in caught.value.message


def test_yaml_is_read_too() -> None:
    text = "Resources:\n  A:\n    Type: AWS::Logs::LogGroup\n"
    assert template.parse(text, TYPES).type_of("A") == LOGS


@pytest.mark.parametrize(
    ("properties", "needed"), [({}, "CAPABILITY_IAM"), ({"RoleName": "x"}, "CAPABILITY_NAMED_IAM")]
)
def test_roles_need_a_capability(properties: dict[str, str], needed: str) -> None:
    assert parse({"A": log_group("a")}).capabilities == []
    found = parse({"A": {"Type": "AWS::IAM::Role", "Properties": properties}})
    assert found.capabilities == [needed]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "A"}, "A"),
        ({"Fn::GetAtt": "A.Arn"}, "A.Arn"),
        ({"Fn::GetAtt": ["A", "Arn"]}, "A.Arn"),
        ({"Fn::Sub": "${A}/${A.Arn}/${!A}"}, "A/A.Arn/${A}"),
        ({"Fn::Sub": ["${x}${A}", {"x": {"Ref": "B"}}]}, "BA"),
        ({"Fn::Join": [",", ["1", {"Ref": "A"}]]}, "1,A"),
        ({"Fn::Select": ["1", ["a", {"Ref": "B"}]]}, "B"),
        ({"Fn::Split": [".", {"Fn::GetAtt": "A.Arn"}]}, ["A", "Arn"]),
        ({"Fn::Base64": "x"}, "eA=="),
        ({"a": {"Ref": "AWS::NoValue"}, "b": [1, {"Ref": "AWS::NoValue"}]}, {"b": [1]}),
        ({"Ref": "A", "other": 1}, {"Ref": "A", "other": 1}),
    ],
)
def test_functions_are_replaced(value: Any, expected: Any) -> None:
    def lookup(name: str, attribute: str | None) -> Any:
        if name == "AWS::NoValue":
            return intrinsics.NO_VALUE
        return name if attribute is None else f"{name}.{attribute}"

    assert intrinsics.resolve(value, lookup) == expected


@pytest.mark.parametrize("value", [{"Fn::Select": [2, ["a"]]}, {"Fn::ImportValue": "x"}])
def test_a_function_without_a_value_is_refused(value: Any) -> None:
    with pytest.raises(AwsError):
        intrinsics.resolve(value, lambda name, _: name)


RULES: dict[str, Any] = {
    "Prefix": {"Type": "String", "AllowedPattern": r"10\.\d+", "Default": "10.0"},
    "Count": {"Type": "Number", "AllowedValues": [0, 1], "Default": 1},
    "Zones": {"Type": "List<AWS::EC2::AvailabilityZone::Name>", "Default": "a, b"},
    "Key": {"Type": "String", "NoEcho": True},
}


def given(**values: str) -> list[dict[str, Any]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]


def test_parameters_have_their_defaults_and_previous_values() -> None:
    found = parameters.values(RULES, given(Key="k", Count="0"), {})
    assert found == {"Prefix": "10.0", "Count": "0", "Zones": "a, b", "Key": "k"}
    kept = [{"ParameterKey": name, "UsePreviousValue": True} for name in ("Count", "Key")]
    assert parameters.values(RULES, kept, found) == found
    assert parameters.as_value(RULES["Zones"], found["Zones"]) == ["a", "b"]
    shown = {
        item["ParameterKey"]: item["ParameterValue"] for item in parameters.shown(RULES, found)
    }
    assert shown["Key"] == "****"
    assert shown["Count"] == "0"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, r"Parameters: \[Key\] must have values"),
        ({"Key": "k", "Other": "x"}, r"Parameters: \[Other\] do not exist in the template"),
        ({"Key": "k", "Prefix": "11.0"}, "must match pattern"),
        ({"Key": "k", "Count": "2"}, "must be one of AllowedValues"),
    ],
)
def test_a_wrong_parameter_is_refused(values: dict[str, str], words: str) -> None:
    with pytest.raises(AwsError, match=words):
        parameters.values(RULES, given(**values), {})


@pytest.mark.parametrize(
    ("rules", "value"),
    [
        ({"Type": "Number"}, "x"),
        ({"Type": "Number", "MaxValue": 3}, "4"),
        ({"Type": "Number", "MinValue": 3}, "2"),
        ({"Type": "String", "MinLength": 2}, "x"),
        ({"Type": "String", "MaxLength": 2, "ConstraintDescription": "short"}, "xxx"),
    ],
)
def test_sizes_of_parameters_are_checked(rules: dict[str, Any], value: str) -> None:
    words = rules.get("ConstraintDescription", "Parameter 'A' must")
    with pytest.raises(AwsError, match=words):
        parameters.values({"A": rules}, given(A=value), {})
