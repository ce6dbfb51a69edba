"""What policy documents say about an action on a resource."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from sm_proxy_lab.aws.iam import conditions
from sm_proxy_lab.aws.iam.patterns import Values, matches

ALLOWED: Final = "allowed"
EXPLICIT_DENY: Final = "explicitDeny"
IMPLICIT_DENY: Final = "implicitDeny"
VARIABLES_SINCE: Final = "2012-10-17"
"""The version of the policy language that has policy variables."""
NOTHING: Final[Values] = MappingProxyType({})


@dataclass(frozen=True)
class Decision:
    """The answer of IAM.

    Attributes:
        outcome: `allowed`, `explicitDeny` or `implicitDeny`.
        matched: the names of the policies that decided it.
        missing: the condition keys whose values are needed to tell more.
    """

    outcome: str
    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def decide(
    documents: Mapping[str, dict[str, Any]],
    action: str,
    resource: str,
    context: Values | None = None,
) -> Decision:
    """Decide about an action.

    Args:
        documents: name of a policy -> its document.
        action: such as `s3:GetObject`.
        resource: an ARN, or `*`.
        context: the request's context. Without any, a statement with a condition does not apply,
            as in a simulation.
    """
    effects: dict[str, list[str]] = {"Allow": [], "Deny": []}
    missing: set[str] = set()
    for name, document in documents.items():
        has_variables = document.get("Version") == VARIABLES_SINCE
        variables = context if has_variables else None
        for statement in statements(document):
            if not _fits(statement, action, resource, variables):
                continue
            block = statement.get("Condition", {})
            if not block or (
                context is not None and conditions.hold(block, context, variables=has_variables)
            ):
                effects[statement["Effect"]].append(name)
            elif context is None:
                missing |= {key for test in block.values() for key in test}
    told = tuple(sorted(missing))
    for effect, outcome in (("Deny", EXPLICIT_DENY), ("Allow", ALLOWED)):
        if effects[effect]:
            return Decision(outcome, tuple(dict.fromkeys(effects[effect])), told)
    return Decision(IMPLICIT_DENY, missing=told)


def trusts(
    document: dict[str, Any],
    kind: str,
    names: Collection[str],
    context: Values = NOTHING,
    action: str = "sts:AssumeRole",
) -> str:
    """What a role's trust policy says about a principal that wants to assume the role.

    Args:
        document: the trust policy.
        kind: `Service` or `AWS`.
        names: the names that stand for the principal: a service's, or ARNs.
        context: the request's context.
        action: that assumes the role.

    Returns:
        ALLOWED, EXPLICIT_DENY or IMPLICIT_DENY.
    """
    outcome = IMPLICIT_DENY
    has_variables = document.get("Version") == VARIABLES_SINCE
    for statement in statements(document):
        if not is_about(statement.get("Principal", {}), kind, names):
            continue
        if not _among(statement, "Action", action.lower()):
            continue
        if not conditions.hold(statement.get("Condition", {}), context, variables=has_variables):
            continue
        if statement["Effect"] == "Deny":
            return EXPLICIT_DENY
        outcome = ALLOWED
    return outcome


def statements(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The statements of a policy."""
    found: list[dict[str, Any]] = _listed(document.get("Statement", []))
    return found


def is_about(principal: str | dict[str, Any], kind: str, names: Collection[str]) -> bool:
    """Whether a statement's `Principal` means one of the names."""
    given = [principal] if isinstance(principal, str) else _listed(principal.get(kind, []))
    return any(name == "*" or name in names for name in given)


def _fits(statement: dict[str, Any], action: str, resource: str, variables: Values | None) -> bool:
    return _among(statement, "Action", action.lower()) and _among(
        statement, "Resource", resource, variables
    )


def _among(
    statement: dict[str, Any], element: str, value: str, variables: Values | None = None
) -> bool:
    """Whether `value` is meant by the element, or by its `Not...` form."""
    negated = f"Not{element}" in statement
    patterns = _words(statement[f"Not{element}" if negated else element])
    if element == "Action":  # the case of actions does not count
        patterns = (pattern.lower() for pattern in patterns)
    return any(matches(pattern, value, variables) for pattern in patterns) is not negated


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _words(value: str | list[str]) -> Iterator[str]:
    yield from _listed(value)


@lru_cache(maxsize=256)
def parsed(document: str) -> dict[str, Any]:
    """A policy document from its JSON."""
    found: dict[str, Any] = json.loads(document)
    return found
