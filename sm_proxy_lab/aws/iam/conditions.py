"""The conditions of policy statements.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Single-valued vs.
multivalued context keys". Dates, binary values and addresses are left out: no policy here has them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from sm_proxy_lab.aws.iam.patterns import Values, expand, matches

Test = Callable[[str, str, "Values | None"], bool]
"""Whether a value of the context fits a value of the policy, given the values of variables."""
_ALL: Final = "ForAllValues:"
_ANY: Final = "ForAnyValue:"
_IF_EXISTS: Final = "IfExists"


def hold(block: dict[str, dict[str, Any]], context: Values, *, variables: bool = True) -> bool:
    """Whether all conditions of a statement hold.

    Args:
        block: the statement's `Condition`.
        context: the request's context.
        variables: whether the version of the document has policy variables.

    Raises:
        ValueError: an operator that the lab does not have.
    """
    return all(
        _holds(name, _texts(wanted), key.lower(), context, context if variables else None)
        for name, test in block.items()
        for key, wanted in test.items()
    )


def _holds(
    name: str, wanted: list[str], key: str, context: Values, variables: Values | None
) -> bool:
    quantifier = next((word for word in (_ALL, _ANY) if name.startswith(word)), "")
    plain = name.removeprefix(quantifier)
    optional = plain.endswith(_IF_EXISTS)
    plain = plain.removesuffix(_IF_EXISTS)
    values = context.get(key, ())
    if plain == "Null":
        return (not values) is (wanted == ["true"])
    if plain not in _TESTS:
        raise ValueError(f"the lab does not have the condition operator {name}")
    negated = "Not" in plain
    if not values:
        return optional or quantifier == _ALL or (negated and quantifier != _ANY)
    fits = [any(_TESTS[plain](value, one, variables) for one in wanted) for value in values]
    results = [fit is not negated for fit in fits]
    # Without a quantifier, a negated operator fails as soon as one value fits.
    return all(results) if quantifier == _ALL or (negated and not quantifier) else any(results)


def _texts(wanted: Any) -> list[str]:
    given = wanted if isinstance(wanted, list) else [wanted]
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in given]


def _equal(value: str, wanted: str, context: Values | None) -> bool:
    return value == expand(wanted, context)


def _equal_ignoring_case(value: str, wanted: str, context: Values | None) -> bool:
    text = expand(wanted, context)
    return text is not None and value.lower() == text.lower()


def _like(value: str, wanted: str, context: Values | None) -> bool:
    return matches(wanted, value, context)


def _arn_like(value: str, wanted: str, context: Values | None) -> bool:
    """Each of the six parts of the ARN has to fit: a `*` does not go over a colon."""
    text = wanted.split(":", 5)
    parts = value.split(":", 5)
    return len(text) == len(parts) and all(
        matches(pattern, part, context) for pattern, part in zip(text, parts, strict=True)
    )


def _boolean(value: str, wanted: str, _context: Values | None) -> bool:
    return value.lower() == wanted.lower()


def _numeric(compare: Callable[[float, float], bool]) -> Test:
    def test(value: str, wanted: str, _context: Values | None) -> bool:
        return compare(float(value), float(wanted))

    return test


_POSITIVE: Final[dict[str, Test]] = {
    "StringEquals": _equal,
    "StringEqualsIgnoreCase": _equal_ignoring_case,
    "StringLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": _boolean,
    "NumericEquals": _numeric(operator.eq),
    "NumericLessThan": _numeric(operator.lt),
    "NumericLessThanEquals": _numeric(operator.le),
    "NumericGreaterThan": _numeric(operator.gt),
    "NumericGreaterThanEquals": _numeric(operator.ge),
}
_NEGATABLE: Final = ("StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike")
_TESTS: Final = _POSITIVE | {
    name.replace("String", "StringNot").replace("Arn", "ArnNot"): _POSITIVE[name]
    for name in _NEGATABLE
}
"""A negated operator has the test of the one that it negates."""
