"""Resources of a template, as plain dictionaries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeAlias

Resources: TypeAlias = dict[str, dict[str, Any]]
"""From logical ids to resources."""
_OF_IAM = re.compile(r"\$\{(?!AWS::)")


def resource(
    kind: str, properties: dict[str, Any] | None = None, depends_on: Iterable[str] = (), **more: Any
) -> dict[str, Any]:
    """A resource of the type `AWS::<kind>`; `more` are attributes such as `DeletionPolicy`."""
    found: dict[str, Any] = {"Type": f"AWS::{kind}", **more}
    if names := list(depends_on):
        found["DependsOn"] = names[0] if len(names) == 1 else names
    if properties:
        found["Properties"] = properties
    return found


def ref(name: str) -> dict[str, str]:
    """The id of a resource, or a parameter."""
    return {"Ref": name}


def attribute(name: str, of: str) -> dict[str, list[str]]:
    """An attribute of the resource `of`."""
    return {"Fn::GetAtt": [of, name]}


def sub(text: str) -> dict[str, str]:
    """Text with pseudo parameters, parameters and resources: `${AWS::Region}`."""
    return {"Fn::Sub": text}


def logical_name(endpoint: str) -> str:
    """`EcrApi` for `ecr.api`."""
    return "".join(part.capitalize() for part in endpoint.replace("-", ".").split("."))


def name_tag(text: str) -> list[dict[str, Any]]:
    """The tag `Name`, which consoles show; CloudFormation adds the stack's own tags."""
    return [{"Key": "Name", "Value": sub(f"${{AWS::StackName}}-{text}")}]


def substituted(node: Any) -> Any:
    """A policy document in which each text with a pseudo parameter is a `Fn::Sub`.

    A variable of IAM such as `${aws:userid}` stays one.
    """
    if isinstance(node, dict):
        return {key: substituted(value) for key, value in node.items()}
    if isinstance(node, list):
        return [substituted(item) for item in node]
    if isinstance(node, str) and "${AWS::" in node:
        return sub(_OF_IAM.sub("${!", node))
    return node
