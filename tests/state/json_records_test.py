from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

import pytest

from sm_proxy.state import json_records


@dataclass(frozen=True)
class Thing:
    name: str
    size: Literal["small", "large"] = "small"
    since: datetime = datetime(2026, 11, 23, 9, 12, 33, 500, timezone.utc)
    parts: tuple[str, ...] = ()
    count: int | None = None
    good: bool = True


def written(thing: Thing) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(json.dumps(json_records.to_record(thing)))
    return record


@pytest.mark.parametrize("thing", [Thing("a"), Thing("b", "large", parts=("x", "y"), count=3)])
def test_a_record_gives_the_same_dataclass_back(thing: Thing) -> None:
    assert json_records.from_record(Thing, written(thing)) == thing


@pytest.mark.parametrize(
    "changes",
    [
        {"name": None},
        {"size": "tiny"},
        {"size": []},
        {"since": 5},
        {"since": {"time": "now"}},
        {"since": {"time": 1e300}},
        {"since": {"time": float("nan")}},
        {"since": {"time": 10**400}},
        {"parts": "xy"},
        {"parts": ["x", 1]},
        {"count": 1.0},
        {"count": True},
        {"good": 1},
        {"more": 1},
    ],
)
def test_a_field_of_another_type_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        json_records.from_record(Thing, {**written(Thing("a")), **changes})


@pytest.mark.parametrize("record", [None, [], "x", {}, {"name": "a"}])
def test_other_json_is_refused(record: object) -> None:
    with pytest.raises(ValueError, match="not a record of a Thing"):
        json_records.from_record(Thing, record)
