"""The parameters of a template: their values, and what a template demands of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HIDDEN: Final = "****"
"""Shown for a parameter with NoEcho."""


def values(
    declared: Mapping[str, Any],
    given: Sequence[Mapping[str, Any]],
    before: Mapping[str, str],
) -> dict[str, str]:
    """The value of each declared parameter, as text.

    Args:
        declared: the template's `Parameters`.
        given: the `Parameters` of the request.
        before: the values in the stack's present state, for UsePreviousValue.

    Raises:
        AwsError: ValidationError.
    """
    asked = {str(item["ParameterKey"]): item for item in given}
    if unknown := sorted(set(asked) - set(declared)):
        raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    found: dict[str, str] = {}
    for name, rules in declared.items():
        item = asked.get(name, {})
        if item.get("UsePreviousValue"):
            value = before.get(name)
        else:
            value = item.get("ParameterValue", rules.get("Default"))
        if value is not None:
            found[name] = str(value)
    if missing := [name for name in declared if name not in found]:
        raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
    for name, value in found.items():
        _check(name, value, declared[name])
    return found


def shown(declared: Mapping[str, Any], found: Mapping[str, str]) -> list[dict[str, str]]:
    """The parameters as DescribeStacks shows them."""
    return [
        {
            "ParameterKey": name,
            "ParameterValue": _HIDDEN if declared[name].get("NoEcho") else value,
        }
        for name, value in found.items()
    ]


def as_value(rules: Mapping[str, Any], text: str) -> str | list[str]:
    """What Ref gives for a parameter: text, or for the types of lists a list."""
    kind = str(rules.get("Type", "String"))
    if kind.startswith("List<") or kind == "CommaDelimitedList":
        return [item.strip() for item in text.split(",")]
    return text


def _check(name: str, value: str, rules: Mapping[str, Any]) -> None:
    allowed = [str(item) for item in rules.get("AllowedValues", ())]
    items = as_value(rules, value)
    if allowed and any(item not in allowed for item in ([value] if items == value else items)):
        raise invalid(f"Parameter '{name}' must be one of AllowedValues")
    pattern = rules.get("AllowedPattern")
    if pattern is not None and re.fullmatch(pattern, value) is None:
        _refuse(name, f"must match pattern {pattern}", rules)
    if rules.get("Type") == "Number":
        try:
            size: float = float(value)
        except ValueError:
            _refuse(name, "must be a number", rules)
            return
        bounds = ("MinValue", "MaxValue")
    else:
        size, bounds = len(value), ("MinLength", "MaxLength")
    if size < float(rules.get(bounds[0], size)):
        _refuse(name, f"must have {bounds[0]} {rules[bounds[0]]}", rules)
    if size > float(rules.get(bounds[1], size)):
        _refuse(name, f"must have {bounds[1]} {rules[bounds[1]]}", rules)


def _refuse(name: str, demand: str, rules: Mapping[str, Any]) -> None:
    if words := rules.get("ConstraintDescription"):
        raise invalid(f"Parameter '{name}' failed to satisfy constraint: {words}")
    raise invalid(f"Parameter '{name}' {demand}")


def invalid(message: str) -> AwsError:
    """CloudFormation's error for almost everything."""
    return AwsError("ValidationError", message)
