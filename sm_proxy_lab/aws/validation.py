"""Validates requests against botocore's models, with the error messages of AWS."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from botocore.model import (
    ListShape,
    MapShape,
    OperationNotFoundError,
    Shape,
    StructureShape,
)

from sm_proxy_lab.aws import models
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

# AWS lists only the first ten errors of a request.
_MOST = 10


def check(call: Call) -> None:
    """Validate a call's parameters against the input shape of its operation.

    Raises:
        AwsError: ValidationException (for logs InvalidParameterException) with a list of all
            errors, or UnknownOperationException.
    """
    try:
        shape = models.of_service(call.service).operation_model(call.operation).input_shape
    except OperationNotFoundError:
        message = f"{call.service} has no operation {call.operation}."
        raise AwsError("UnknownOperationException", message) from None
    found: list[str] = []
    if shape is not None:
        _structure(shape, call.params, "", found)
    if found:
        count = "1 validation error" if len(found) == 1 else f"{len(found)} validation errors"
        code = "InvalidParameterException" if call.service == "logs" else "ValidationException"
        raise AwsError(code, f"{count} detected: {'; '.join(found[:_MOST])}")


def warm(service: str, operation: str) -> None:
    """Load an operation's shapes before its first call."""
    shape = models.of_service(service).operation_model(operation).input_shape
    if shape is not None:
        _structure(shape, {}, "", [])


def _structure(shape: StructureShape, value: dict[str, Any], path: str, found: list[str]) -> None:
    for name in shape.required_members:
        if value.get(name) is None:
            where = path + name[:1].lower() + name[1:]
            found.append(
                f"Value null at '{where}' failed to satisfy constraint: Member must not be null"
            )
    for name, member in shape.members.items():
        if value.get(name) is not None:
            _value(member, value[name], path + name[:1].lower() + name[1:], found)


def _value(shape: Shape, value: Any, path: str, found: list[str]) -> None:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        if not shape.is_document_type:
            _structure(shape, value, f"{path}.", found)
        return
    rule = _broken(shape, value)
    if rule:
        shown = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else value
        found.append(
            f"Value '{shown}' at '{path}' failed to satisfy constraint: Member must {rule}"
        )
    if isinstance(shape, ListShape) and isinstance(value, list):
        for number, item in enumerate(value, 1):
            _value(shape.member, item, f"{path}.{number}.member", found)
    if isinstance(shape, MapShape) and isinstance(value, dict):
        for key, item in value.items():
            _value(shape.key, key, path, found)
            _value(shape.value, item, f"{path}.{key}.member", found)


def _broken(shape: Shape, value: Any) -> str | None:
    """The rule that `value` breaks, as AWS writes it; None if it breaks none."""
    meta = shape.metadata
    if isinstance(value, bool) or shape.type_name == "blob":  # a blob comes as longer base64 text
        return None
    if isinstance(value, (int, float)):
        return _out_of_range(meta, value, "value")
    if isinstance(value, (str, list, dict)):
        wrong = _out_of_range(meta, len(value), "length")
        if wrong or not isinstance(value, str):
            return wrong
        if "enum" in meta and value not in meta["enum"]:
            return f"satisfy enum value set: [{', '.join(meta['enum'])}]"
        if "pattern" in meta and not _matches(meta["pattern"], value):
            return f"satisfy regular expression pattern: {meta['pattern']}"
    return None


def _out_of_range(meta: dict[str, Any], size: float, what: str) -> str | None:
    if "min" in meta and size < meta["min"]:
        return f"have {what} greater than or equal to {meta['min']}"
    if "max" in meta and size > meta["max"]:
        return f"have {what} less than or equal to {meta['max']}"
    return None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:  # a few models use character classes of Java
        return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None
