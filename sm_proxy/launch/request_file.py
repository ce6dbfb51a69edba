"""A request in a file, in JSON or YAML, as the AWS CLI takes it with `--cli-input-json`."""

from __future__ import annotations

import codecs
import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.session import Session
from botocore.validate import ParamValidator

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.launch import described, shapes
from sm_proxy.launch.shapes import OPERATIONS, Operation
from sm_proxy.local import suggestion

STDIN: Final = "-"
_LIMIT: Final = 2 << 20
"""Bytes; the limits of a request's members leave less than half of it."""
_VALUES_LIMIT: Final = 100_000
"""Aliases of YAML can make millions of values out of a few lines."""
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_URI: Final = "file://"
_KEY_NAME: Final = "KeyName"
"""The key that a skeleton of the AWS CLI has in a map."""
_NAMED: Final = 5
"""How many members a message names."""
_UNKNOWN: Final = re.compile(r'Unknown parameter in (\S+): "(.*)", must be one of: (.*)', re.DOTALL)
_TYPE: Final = re.compile(
    r"Invalid type for parameter (.*?), value: .*, type: <class '([\w.]+)'>,"
    r" valid types: <class '(\w+)'>.*",
    re.DOTALL,
)
_TYPES: Final = {
    "bool": "true or false",
    "dict": "an object",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "str": "a string: put it into quotes",
}
_PROBLEM: Final = re.compile(r"\n(?=Invalid |Missing |Must |Unknown )")
"""Between two problems of botocore's report; a value may have line breaks itself."""
_SKELETON: Final = "A skeleton of the AWS CLI has such members: fill them in, or remove them."


def read(path: str) -> tuple[Operation, dict[str, Any]]:
    """The request in a file, and the operation that it is for.

    Args:
        path: of the file, also as `file://PATH`; `-` for stdin.

    Raises:
        SmProxyError: `usage`, it cannot be read, or it is no request that creates a job.
    """
    found = _parse(_text(path), path)
    if not isinstance(found, dict):
        raise _unusable(path, "it is not an object with the members of a request")
    for operation in OPERATIONS:
        if shapes.of(operation).NAME in found:
            _refuse_description(found, operation, path)
            return operation, found
    names = " nor ".join(shapes.of(operation).NAME for operation in OPERATIONS)
    raise _unusable(path, f"it has neither {names}")


def validate(operation: Operation, request: Mapping[str, Any], session: Session, path: str) -> None:
    """Check a request against the service model, so that mistakes are found before any call.

    Args:
        operation: of the request.
        request: as the file has it.
        session: whose service model counts.
        path: of the file, for the error.

    Raises:
        SmProxyError: `usage`, with what is wrong.
    """
    shape = described.request_shape(session, operation)
    if empty := list(_placeholders(request, shape, "")):
        more = f" and {len(empty) - _NAMED} more" if len(empty) > _NAMED else ""
        what = f"{', '.join(empty[:_NAMED])}{more} must not be empty"
        raise SmProxyError("usage", f"{_shown(path)}: {what}", _SKELETON)
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        problems = [_explained(line) for line in _PROBLEM.split(report.generate_report())]
        raise SmProxyError(
            "usage",
            f"{_shown(path)} is not a request of {operation}: {'; '.join(problems)}",
            "Correct the file.",
        )


def _text(path: str) -> str:
    try:
        if path == STDIN and sys.stdin is None:
            raise _unusable(path, "it is closed")
        if path == STDIN:
            data = sys.stdin.buffer.read(_LIMIT + 1)
        else:
            with Path(path.removeprefix(_URI)).expanduser().open("rb") as file:
                data = file.read(_LIMIT + 1)
        if len(data) > _LIMIT:
            raise _unusable(path, "it is too large for a request")
        # Windows PowerShell's `>` writes UTF-16.
        return data.decode("utf-16" if data[:2] in _UTF_16 else "utf-8-sig")
    except OSError as error:
        raise _unusable(path, str(error.strerror or error)) from None
    except (UnicodeDecodeError, RuntimeError):  # RuntimeError: no home folder
        raise _unusable(path, "it is not a text in UTF-8") from None


def _parse(text: str, path: str) -> Any:
    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _refuse_twice((name for name, _ in pairs), path)
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=as_object)
    except (ValueError, RecursionError) as error:
        if path.lower().endswith(".json"):
            raise _unusable(path, f"it is not valid JSON: {error}") from None
    import yaml  # noqa: PLC0415 - only for a request file

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            # `<<` may stand several times. Its members come later, and count less.
            keys = (key for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            _refuse_twice((key.value for key in keys if key.value != "<<"), path)
            return node

    try:
        found = yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unusable(path, f"it is not valid YAML: {error}") from None
    if _has_too_many_values(found):
        raise _unusable(path, "it has too many values for a request")
    return found


def _has_too_many_values(document: Any) -> bool:
    """Whether a document is too large once its aliases are written out; they may have no end."""
    left, count = [document], 0
    while left and count <= _VALUES_LIMIT:
        value = left.pop()
        inner = list(value.values()) if isinstance(value, dict) else value
        if isinstance(inner, list):
            count += len(inner)
            left += inner
    return count > _VALUES_LIMIT


def _refuse_twice(names: Iterable[str], path: str) -> None:
    """A reader cannot tell which of two members of the same name counts."""
    for name, times in Counter(names).items():
        if times > 1:
            raise _unusable(path, f"{name} stands twice in one object")


def _refuse_description(found: Mapping[str, Any], operation: Operation, path: str) -> None:
    noun = operation.removeprefix("Create")
    if f"{noun}Arn" in found:
        job = printable(str(found[shapes.of(operation).NAME]))
        raise SmProxyError(
            "usage",
            f"{_shown(path)} describes a job that exists: it is not a request",
            f"Run that job again: sm-proxy relaunch {job}",
        )


def _placeholders(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """The paths of strings that are empty and may not be."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name, inner in value.items():
            if name in shape.members:
                below = f"{path}.{name}" if path else name
                yield from _placeholders(inner, shape.members[name], below)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _placeholders(inner, shape.member, f"{path}[{number}]")
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        if value == {_KEY_NAME: ""}:
            yield f"{path}.{_KEY_NAME}"
        for name, inner in value.items():
            yield from _placeholders(inner, shape.value, f"{path}.{name}")
    elif value == "" and not _may_be_empty(shape):
        yield path


def _may_be_empty(shape: Shape) -> bool:
    rules = shape.metadata
    if rules.get("min", 0) > 0 or rules.get("enum"):
        return False
    try:
        return re.fullmatch(rules.get("pattern", ""), "") is not None
    except re.error:  # the pattern has what Python's patterns lack
        return True


def _explained(line: str) -> str:
    """A line of botocore's report, with what to write instead."""
    if found := _UNKNOWN.fullmatch(line):
        place, name, known = found.groups()
        where = "" if place == "input" else f" in {place}"
        meant = suggestion.sentence(name, known.split(", "))
        return f"unknown member {name}{where}" + (f" ({meant})" if meant else "")
    if found := _TYPE.fullmatch(line):  # without the value, which may be a secret
        if found[2] == "NoneType":
            return f"{found[1]} has no value"
        return f"{found[1]} must be {_TYPES.get(found[3], found[3])}"
    return line


def _unusable(path: str, why: str) -> SmProxyError:
    return SmProxyError(
        "usage",
        f"{_shown(path)} cannot be launched: {why}",
        "Give a request as `aws sagemaker create-training-job --cli-input-json` takes it."
        f"{_as_command(path)}",
    )


def _as_command(path: str) -> str:
    """For a user who has left out the `--` before a command."""
    if path == STDIN or path.lower().endswith((".json", ".yaml", ".yml")):
        return ""
    return f" For a command, write `sm-proxy launch -- {shlex.quote(printable(path))}`."


def _shown(path: str) -> str:
    return "stdin" if path == STDIN else path or "''"
