"""The form of a request: whether the parts that we read have the types of the service's model.

A request comes from a file or a program, often unchecked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.launch.changes import Path, spelled
from sm_proxy.launch.shapes import Operation, Shape

_Form = tuple[Callable[[Any], bool], str]
"""A test of a value, and the words for what passes it."""


def refuse_malformed(operation: Operation, shape: Shape, request: Mapping[str, Any]) -> None:
    """Raise if a part that we read has another type than in the operation's model.

    Raises:
        SmProxyError: `usage`.
    """
    for path, form in _forms(shape).items():
        value: Any = request
        for depth, name in enumerate(path):
            if not _is_object(value):
                raise _malformed(operation, path[:depth], _OBJECT)
            value = value.get(name)
            if value is None:
                break
        else:
            if not form[0](value):
                raise _malformed(operation, path, form)


def _malformed(operation: Operation, path: Path, form: _Form) -> SmProxyError:
    where = spelled(path) or "it"
    return SmProxyError(
        "usage",
        f"the request is not valid for {operation}: {where} is not {form[1]}",
        "Correct the request.",
    )


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


_OBJECT: Final[_Form] = (_is_object, "an object")
_OBJECTS: Final[_Form] = (
    lambda value: _is_list(value) and all(map(_is_object, value)),
    "a list of objects",
)
_TEXT: Final[_Form] = (_is_text, "a string")
_TEXTS: Final[_Form] = (
    lambda value: _is_list(value) and all(map(_is_text, value)),
    "a list of strings",
)
_VARIABLES: Final[_Form] = (
    lambda value: _is_object(value) and all(map(_is_text, (*value, *value.values()))),
    "an object of strings",
)
_NUMBER: Final[_Form] = (
    lambda value: isinstance(value, int) and not isinstance(value, bool),
    "a whole number",
)
_FLAG: Final[_Form] = (lambda value: isinstance(value, bool), "true or false")


def _forms(shape: Shape) -> dict[Path, _Form]:
    return {
        (shape.NAME,): _TEXT,
        shape.IMAGE: _TEXT,
        (*shape.CONTAINER, "ContainerEntrypoint"): _TEXTS,
        (*shape.CONTAINER, "ContainerArguments"): _TEXTS,
        (*shape.VPC, "Subnets"): _TEXTS,
        (*shape.VPC, "SecurityGroupIds"): _TEXTS,
        shape.ISOLATION: _FLAG,
        shape.INPUTS: _OBJECTS,
        ("Environment",): _VARIABLES,
        ("ResourceConfig", "InstanceGroups"): _OBJECTS,
        ("RetryStrategy", "MaximumRetryAttempts"): _NUMBER,
        ("StoppingCondition", "MaxRuntimeInSeconds"): _NUMBER,
        ("StoppingCondition", "MaxWaitTimeInSeconds"): _NUMBER,
    }
