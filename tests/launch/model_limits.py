"""What the service checks and botocore does not: the limits that its own model names."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape


def broken(shape: Shape, value: Any, path: str = "") -> Iterator[str]:
    """`path: rule` for each value that is out of bounds, or does not match its pattern."""
    if isinstance(shape, StructureShape):
        for name, item in value.items():
            yield from broken(shape.members[name], item, f"{path}.{name}")
    elif isinstance(shape, ListShape):
        yield from _bounds(shape, len(value), path)
        for position, item in enumerate(value):
            yield from broken(shape.member, item, f"{path}[{position}]")
    elif isinstance(shape, MapShape):
        yield from _bounds(shape, len(value), path)
        for key, item in value.items():
            yield from broken(shape.key, key, f"{path}.{key} (key)")
            yield from broken(shape.value, item, f"{path}.{key}")
    elif isinstance(value, str):
        yield from _bounds(shape, len(value), path)
        yield from _text(shape, value, path)
    elif not isinstance(value, bool) and isinstance(value, (int, float)):
        yield from _bounds(shape, value, path)


def _bounds(shape: Shape, size: float, path: str) -> Iterator[str]:
    if size < shape.metadata.get("min", size):
        yield f"{path}: min"
    if size > shape.metadata.get("max", size):
        yield f"{path}: max"


def _text(shape: Shape, value: str, path: str) -> Iterator[str]:
    named = shape.metadata.get("enum")
    if named and value not in named:
        yield f"{path}: enum"
    pattern = _pattern(shape.metadata.get("pattern") or ".*")
    if pattern and not pattern.fullmatch(value):
        yield f"{path}: pattern"


@functools.cache
def _pattern(java: str) -> re.Pattern[str] | None:
    """The pattern for Python, where a `.` matches more; None if Python cannot read it."""
    try:
        return re.compile(re.sub(r"(?<!\\)\.(?=[*+])", r"[^\\n\\r\\x85\\u2028\\u2029]", java))
    except re.error:
        return None
