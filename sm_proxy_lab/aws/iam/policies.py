"""What policy documents say about an action on a resource."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

ALLOWED: Final = "allowed"
EXPLICIT_DENY: Final = "explicitDeny"
IMPLICIT_DENY: Final = "implicitDeny"


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


def decide(documents: dict[str, dict[str, Any]], action: str, resource: str) -> Decision:
    """Decide about an action, without any context: a statement with a condition does not apply.

    Args:
        documents: name of a policy -> its document.
        action: such as `s3:GetObject`.
        resource: an ARN, or `*`.
    """
    effects: dict[str, list[str]] = {"Allow": [], "Deny": []}
    missing: set[str] = set()
    for name, document in documents.items():
        for statement in _listed(document.get("Statement", [])):
            if not _fits(statement, action, resource):
                continue
            keys = {key for test in statement.get("Condition", {}).values() for key in test}
            if keys:
                missing |= keys
            else:
                effects[statement["Effect"]].append(name)
    told = tuple(sorted(missing))
    for effect, outcome in (("Deny", EXPLICIT_DENY), ("Allow", ALLOWED)):
        if effects[effect]:
            return Decision(outcome, tuple(dict.fromkeys(effects[effect])), told)
    return Decision(IMPLICIT_DENY, missing=told)


def trusts(document: dict[str, Any], service: str) -> bool:
    """Whether a role's trust policy lets this service assume it."""
    allowed = False
    for statement in _listed(document.get("Statement", [])):
        principal = statement.get("Principal", {})
        services = [principal] if isinstance(principal, str) else principal.get("Service", [])
        if not any(_matches(pattern, service) for pattern in _words(services)):
            continue
        if any(_matches(pattern, "sts:AssumeRole") for pattern in _words(statement["Action"])):
            if statement["Effect"] == "Deny":
                return False
            allowed = True
    return allowed


def _fits(statement: dict[str, Any], action: str, resource: str) -> bool:
    return _among(statement, "Action", action.lower()) and _among(statement, "Resource", resource)


def _among(statement: dict[str, Any], element: str, value: str) -> bool:
    """Whether `value` is meant by the element, or by its `Not...` form."""
    negated = f"Not{element}" in statement
    patterns = _words(statement[f"Not{element}" if negated else element])
    if element == "Action":  # the case of actions does not count
        patterns = (pattern.lower() for pattern in patterns)
    return any(_matches(pattern, value) for pattern in patterns) is not negated


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _words(value: str | list[str]) -> Iterator[str]:
    yield from _listed(value)


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str]:
    parts: Iterable[str] = re.split(r"([*?])", pattern)
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(part) or re.escape(part) for part in parts), re.DOTALL)


def _matches(pattern: str, value: str) -> bool:
    return _pattern(pattern).fullmatch(value) is not None
