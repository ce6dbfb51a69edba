"""The condition operators."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy_lab.aws.iam import conditions

CONTEXT = {
    "aws:userid": ("AROA:me",),
    "k": ("Value",),
    "n": ("5",),
    "b": ("true",),
    "arn": ("arn:aws:iam::1:role/a",),
    "many": ("a", "b"),
}


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "holds"),
    [
        ("StringEquals", "K", "Value", True),
        ("StringEquals", "k", ["x", "Value"], True),
        ("StringEquals", "k", "value", False),
        ("StringEquals", "k", "Val*", False),
        ("StringEquals", "none", "x", False),
        ("StringEqualsIfExists", "none", "x", True),
        ("StringEqualsIfExists", "k", "x", False),
        ("StringEqualsIgnoreCase", "k", "VALUE", True),
        ("StringNotEquals", "k", ["Value", "x"], False),
        ("StringNotEquals", "k", ["y", "x"], True),
        ("StringNotEquals", "none", "x", True),
        ("StringNotEqualsIgnoreCase", "k", "VALUE", False),
        ("StringLike", "k", "V*e", True),
        ("StringLike", "k", "V?e", False),
        ("StringNotLike", "k", "V*", False),
        ("StringLike", "aws:userid", "${aws:userid}", True),
        ("StringLike", "k", "${aws:nothing}", False),
        ("StringLike", "k", "${aws:nothing, 'Value'}", True),
        ("ArnLike", "arn", "arn:aws:iam::*:role/*", True),
        ("ArnLike", "arn", "arn:*:role/a", False),
        ("ArnNotLike", "arn", "arn:aws:iam::1:role/*", False),
        ("ArnEquals", "arn", "arn:aws:iam::1:role/a", True),
        ("Bool", "b", True, True),
        ("Bool", "b", "false", False),
        ("Null", "none", "true", True),
        ("Null", "k", True, False),
        ("Null", "k", "false", True),
        ("NumericLessThan", "n", "5", False),
        ("NumericLessThanEquals", "n", 5, True),
        ("NumericGreaterThan", "n", "4", True),
        ("ForAllValues:StringEquals", "many", ["a", "b", "c"], True),
        ("ForAllValues:StringEquals", "many", ["a"], False),
        ("ForAllValues:StringEquals", "none", ["a"], True),
        ("ForAnyValue:StringEquals", "many", ["b"], True),
        ("ForAnyValue:StringEquals", "many", ["c"], False),
        ("ForAnyValue:StringEquals", "none", ["a"], False),
        ("ForAnyValue:StringNotEquals", "many", ["a"], True),
        ("ForAllValues:StringNotEquals", "many", ["a"], False),
    ],
)
def test_operators(operator: str, key: str, wanted: Any, holds: bool) -> None:
    assert conditions.hold({operator: {key: wanted}}, CONTEXT) is holds


def test_all_conditions_must_hold() -> None:
    fits, fails = {"StringEquals": {"k": "Value"}}, {"StringLike": {"k": "x"}}
    assert conditions.hold(fits, CONTEXT)
    assert not conditions.hold({**fits, **fails}, CONTEXT)
    assert conditions.hold({}, CONTEXT)


def test_an_unknown_operator_is_an_error() -> None:
    with pytest.raises(ValueError, match="DateLessThan"):
        conditions.hold({"DateLessThan": {"k": "2026-01-01"}}, CONTEXT)
