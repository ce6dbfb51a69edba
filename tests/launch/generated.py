"""Values that fit a shape of botocore's service model, for property tests."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import strategies as st

_LETTERS = "aB3-"
_FEW = 3
_DEPTH = 4
_NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def values(shape: Shape | None, depth: int = _DEPTH) -> st.SearchStrategy[Any]:
    """Any value of a shape: optional members are there or not, lists are short."""
    assert shape is not None
    if isinstance(shape, StructureShape):
        return _structures(shape, depth)
    least = int(shape.metadata.get("min", 0))
    most = max(least, min(int(shape.metadata.get("max", _FEW)), _FEW))
    if isinstance(shape, ListShape):
        return st.lists(values(shape.member, depth - 1), min_size=least, max_size=most)
    if isinstance(shape, MapShape):
        keys = values(shape.key, depth - 1)
        return st.dictionaries(keys, values(shape.value, depth - 1), max_size=_FEW)
    if shape.type_name == "string":
        if named := shape.metadata.get("enum"):
            return st.sampled_from(named[:_FEW])
        return st.text(_LETTERS, min_size=least, max_size=max(least, 8))
    return {
        "boolean": st.booleans(),
        "integer": st.integers(least, least + 100),
        "long": st.integers(least, least + 100),
        "float": st.floats(0, 1),
        "double": st.floats(0, 1),
        "timestamp": st.just(_NOW),
    }[shape.type_name]


def _structures(shape: StructureShape, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    required = set(shape.required_members)
    members = {name: values(member, depth - 1) for name, member in shape.members.items()}
    if depth <= 0:
        members = {name: member for name, member in members.items() if name in required}
    return st.fixed_dictionaries(
        {name: member for name, member in members.items() if name in required},
        optional={name: member for name, member in members.items() if name not in required},
    )
