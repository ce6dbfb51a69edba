"""A template: its text, its checks, and the order in which its resources are made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from sm_proxy_lab.aws.cloudformation.parameters import invalid

_PSEUDO: Final = "AWS::"
_VARIABLE: Final = re.compile(r"\$\{(?!!)([^}]+)\}")
"""In the text of Fn::Sub; `${!x}` is not a variable."""
_LISTED: Final = ("Parameters", "Resources", "Outputs")
_KNOWN: Final = {*_LISTED, "AWSTemplateFormatVersion", "Description", "Metadata"}
_OF_RESOURCES: Final = {"Type", "Properties", "DependsOn", "Metadata"}
_POLICIES: Final = {
    "DeletionPolicy": {"Delete", "Retain"},
    "UpdateReplacePolicy": {"Delete"},
}
"""Attributes of resources -> what the lab has of their values."""
_MOST: Final = {"Parameters": 200, "Resources": 500, "Outputs": 200}
"""AWS CloudFormation User Guide, "Understand CloudFormation quotas"."""
_LONGEST_DESCRIPTION: Final = 1024
_LOGICAL_ID: Final = re.compile("[A-Za-z0-9]{1,255}")


@dataclass(frozen=True)
class Template:
    """A template that has passed the checks.

    Attributes:
        text: as the request has it.
        resources: logical id -> resource; each has `Type`, and may have `Properties`.
        needs: logical id -> logical ids of the resources that it needs.
    """

    text: str
    description: str | None
    parameters: Mapping[str, Any]
    resources: Mapping[str, Any]
    outputs: Mapping[str, Any]
    needs: Mapping[str, frozenset[str]]

    def type_of(self, name: str) -> str:
        """The type of the resource with this logical id."""
        return str(self.resources[name]["Type"])

    @property
    def capabilities(self) -> list[str]:
        """What a request must acknowledge."""
        made = [
            item for item in self.resources.values() if str(item["Type"]).startswith("AWS::IAM")
        ]
        if not made:
            return []
        names = {"RoleName", "InstanceProfileName", "ManagedPolicyName", "UserName", "GroupName"}
        named = any(names & set(item.get("Properties", {})) for item in made)
        return ["CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"]


def parse(text: str, types: Mapping[str, Any]) -> Template:
    """Read a template in JSON or YAML, and check it.

    Args:
        text: the template.
        types: the resource types that there are.

    Raises:
        AwsError: ValidationError.
    """
    found = _load(text)
    resources = found.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise invalid("Template format error: At least one Resources member must be defined.")
    if wrong := sorted(set(found) - _KNOWN):
        raise invalid(f"Invalid template property or properties [{', '.join(wrong)}]")
    for name, item in resources.items():
        if not isinstance(item, dict) or not isinstance(item.get("Type"), str):
            message = f"[/Resources/{name}] Every Resources object must contain a Type member."
            raise invalid(f"Template format error: {message}")
    if unknown := sorted({item["Type"] for item in resources.values()} - set(types)):
        raise invalid(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
    _check_limits(found)
    for name, item in resources.items():
        _check_resource(name, item)
    parameters, outputs = found.get("Parameters") or {}, found.get("Outputs") or {}
    needs = {name: _needs(item, parameters, resources) for name, item in resources.items()}
    _names(outputs, parameters, resources, "Outputs")
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        names = ", ".join(sorted(set(error.args[1])))
        raise invalid(f"Circular dependency between resources: [{names}]") from None
    return Template(text, found.get("Description"), parameters, resources, outputs, needs)


def _check_limits(document: Mapping[str, Any]) -> None:
    """Refuse names and numbers that the service refuses; the words are from its user guide."""
    for block, most in _MOST.items():
        names = document.get(block) or {}
        if len(names) > most:
            words = f"Number of {block.lower()}, {len(names)}, is greater than maximum allowed"
            raise invalid(f"Template format error: {words}, {most}")
        if wrong := [name for name in names if not _LOGICAL_ID.fullmatch(name)]:
            raise invalid(
                f"Template format error: {block[:-1]} name {wrong[0]} is non alphanumeric."
            )
    if len(str(document.get("Description", "")).encode()) > _LONGEST_DESCRIPTION:
        words = f"Description length must be less than {_LONGEST_DESCRIPTION} bytes"
        raise invalid(f"Template format error: {words}")


def _check_resource(name: str, item: Mapping[str, Any]) -> None:
    """Refuse attributes that a resource cannot have, or not in the lab."""
    if wrong := sorted(set(item) - _OF_RESOURCES - set(_POLICIES)):
        raise invalid(f"Invalid template resource property '{wrong[0]}'")
    for attribute, values in _POLICIES.items():
        if attribute in item and item[attribute] not in values:
            words = f"Unrecognized {attribute} {item[attribute]} for resource {name}"
            raise invalid(f"Template error: {words}")


def references(value: Any) -> Iterator[str]:
    """The names that Ref, Fn::GetAtt and Fn::Sub have in a value."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref":
                yield str(item)
            elif key == "Fn::GetAtt":
                yield (item.partition(".")[0] if isinstance(item, str) else str(item[0]))
            elif key == "Fn::Sub":
                text, own = (item, {}) if isinstance(item, str) else item
                names = (name.partition(".")[0].strip() for name in _VARIABLE.findall(text))
                yield from (name for name in names if name not in own)
                yield from references(own)
            else:
                yield from references(item)


def _needs(
    item: Mapping[str, Any], parameters: Mapping[str, Any], resources: Mapping[str, Any]
) -> frozenset[str]:
    found = _names(item.get("Properties", {}), parameters, resources, "Resources")
    named = item.get("DependsOn", [])
    named = {named} if isinstance(named, str) else set(named)
    if unknown := sorted(named - set(resources)):
        words = f"Unresolved resource dependencies [{', '.join(unknown)}] in the Resources block"
        raise invalid(f"Template format error: {words} of the template")
    return frozenset(found | named)


def _names(
    value: Any, parameters: Mapping[str, Any], resources: Mapping[str, Any], block: str
) -> set[str]:
    """The resources that a value refers to."""
    found = {name for name in references(value) if not name.startswith(_PSEUDO)}
    if unknown := sorted(found - set(parameters) - set(resources)):
        words = f"Unresolved resource dependencies [{', '.join(unknown)}] in the {block} block"
        raise invalid(f"Template format error: {words} of the template")
    return found & set(resources)


def _load(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        import yaml  # noqa: PLC0415 - moto brings it; most templates are JSON

        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError:
            raise invalid("Template format error: YAML not well-formed.") from None
    if not isinstance(found, dict):
        raise invalid("Template format error: unsupported structure.")
    return found
