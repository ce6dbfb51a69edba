"""What an update would change in a stack: the deployed template compared with the new one.

CloudFormation itself tells this only of a change set, which a stack keeps until it is removed.
Which property cannot be changed in place is in the AWS CloudFormation Template Reference ("Update
requires: Replacement"), here for the properties that our templates set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Action: TypeAlias = Literal["add", "remove", "change", "replace"]
_REPLACING: Final[dict[str, frozenset[str]]] = {
    "AWS::AutoScaling::AutoScalingGroup": frozenset({"AutoScalingGroupName"}),
    "AWS::CodeBuild::Project": frozenset({"Name"}),
    "AWS::EC2::LaunchTemplate": frozenset({"LaunchTemplateName"}),
    "AWS::EC2::NatGateway": frozenset({"SubnetId", "AllocationId", "ConnectivityType"}),
    "AWS::EC2::Route": frozenset({"RouteTableId", "DestinationCidrBlock"}),
    "AWS::EC2::RouteTable": frozenset({"VpcId"}),
    "AWS::EC2::SecurityGroup": frozenset({"GroupDescription", "GroupName", "VpcId"}),
    "AWS::EC2::SecurityGroupIngress": frozenset(
        {"GroupId", "IpProtocol", "FromPort", "ToPort", "SourceSecurityGroupId"}
    ),
    "AWS::EC2::Subnet": frozenset({"AvailabilityZone", "CidrBlock", "VpcId"}),
    "AWS::EC2::SubnetRouteTableAssociation": frozenset({"RouteTableId", "SubnetId"}),
    "AWS::EC2::VPC": frozenset({"CidrBlock"}),
    "AWS::EC2::VPCGatewayAttachment": frozenset({"VpcId"}),
    "AWS::EC2::VPCEndpoint": frozenset({"ServiceName", "VpcEndpointType", "VpcId"}),
    "AWS::IAM::InstanceProfile": frozenset({"InstanceProfileName", "Path"}),
    "AWS::IAM::ManagedPolicy": frozenset({"Description", "ManagedPolicyName", "Path"}),
    "AWS::IAM::Role": frozenset({"RoleName", "Path"}),
    "AWS::Logs::LogGroup": frozenset({"LogGroupName"}),
    "AWS::S3::Bucket": frozenset({"BucketName"}),
    "AWS::S3::BucketPolicy": frozenset({"Bucket"}),
}
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?:\.[\w.]+)?\}")


@dataclass(frozen=True)
class Change:
    """What happens to one resource.

    Attributes:
        action: what; `replace` makes a new one and then removes the old one.
        logical_id: its name in the template.
        type: its type.
        properties: names of the properties that differ, sorted; empty for `add` and `remove`.
    """

    action: Action
    logical_id: str
    type: str
    properties: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """For people: `replace PrivateSubnet1 (AWS::EC2::Subnet: CidrBlock)`."""
        named = f": {', '.join(self.properties)}" if self.properties else ""
        return f"{self.action} {self.logical_id} ({self.type}{named})"


@dataclass(frozen=True)
class Deployed:
    """A template and the values of its parameters."""

    template: Mapping[str, Any]
    parameters: Mapping[str, str]

    @property
    def resources(self) -> dict[str, Any]:
        """The resources, with the parameters' values in place of references to them."""
        defaults = {
            name: str(item["Default"])
            for name, item in (self.template.get("Parameters") or {}).items()
            if "Default" in item
        }
        resources = self.template.get("Resources") or {}
        return dict(_with_values(resources, {**defaults, **self.parameters}))

    @property
    def outputs(self) -> Any:
        """The stack's outputs."""
        return self.template.get("Outputs") or {}


def between(old: Deployed, new: Deployed) -> tuple[Change, ...]:
    """What an update from `old` to `new` does, in the order of the templates; empty if nothing.

    A change of the outputs alone is a `change` of `Outputs`.
    """
    before, after = old.resources, new.resources
    replaced = _replaced(before, after)
    changes = [
        Change("remove", name, before[name].get("Type", "")) for name in before if name not in after
    ]
    for name, item in after.items():
        kind = item.get("Type", "")
        if name not in before:
            changes.append(Change("add", name, kind))
        elif name in replaced:
            differing = _differing(before[name], item) or _naming(item, replaced)
            changes.append(Change("replace", name, kind, tuple(sorted(differing))))
        elif differing := _differing(before[name], item):
            changes.append(Change("change", name, kind, tuple(sorted(differing))))
    if not changes and old.outputs != new.outputs:
        changes.append(Change("change", "Outputs", "what the stack tells"))
    return tuple(changes)


def _replaced(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Resources that are replaced, by a property of their own or of a resource they name."""
    both = [name for name in after if name in before]
    found = {
        name
        for name in both
        if before[name].get("Type") != after[name].get("Type")
        or _differing(before[name], after[name]) & _fixed(after[name])
    }
    while more := {
        name
        for name in both
        if name not in found and _naming(after[name], found) & _fixed(after[name])
    }:
        found |= more
    return found


def _fixed(item: Mapping[str, Any]) -> frozenset[str]:
    return _REPLACING.get(item.get("Type", ""), frozenset())


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Names of the properties that differ."""
    before, after = old.get("Properties") or {}, new.get("Properties") or {}
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def _naming(item: Mapping[str, Any], names: set[str]) -> set[str]:
    """The properties in which one of these resources is named."""
    properties = item.get("Properties") or {}
    return {name for name, value in properties.items() if names & set(_references(value))}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("Ref"), str):
            yield value["Ref"]
        attribute = value.get("Fn::GetAtt")
        if attribute:
            yield str(attribute).partition(".")[0] if isinstance(attribute, str) else attribute[0]
        if "Fn::Sub" in value:
            yield from _VARIABLE.findall(json.dumps(value["Fn::Sub"]))
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _with_values(value: Any, parameters: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"Ref"} and value["Ref"] in parameters:
            return parameters[value["Ref"]]
        return {key: _with_values(item, parameters) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_values(item, parameters) for item in value]
    if isinstance(value, str):  # `${Prefix}` has a meaning in Fn::Sub only; elsewhere it is rare
        return _VARIABLE.sub(lambda found: parameters.get(found[1], found[0]), value)
    return value
