from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.launch.changes import Draft, Path
from tests.launch.replaying import replay


@pytest.mark.parametrize(
    ("path", "value", "spelled", "after"),
    [
        (("A",), 1, "A", {"A": 1, "L": [{"N": "a"}]}),
        (("B", "C", "D"), {}, "B.C.D", {"B": {"C": {"D": {}}}, "L": [{"N": "a"}]}),
        (("L", 1), {"N": "b"}, "L[1]", {"L": [{"N": "a"}, {"N": "b"}]}),
        (("L", 0, "N"), "c", "L[0].N", {"L": [{"N": "c"}]}),
        (("L", 0), None, "L[0]", {"L": []}),
        (("M", 0, "N"), "d", "M[0].N", {"L": [{"N": "a"}], "M": [{"N": "d"}]}),
        (("L",), None, "L", {}),
        (("E",), False, "E", {"L": [{"N": "a"}], "E": False}),
    ],
)
def test_a_change_is_made_and_can_be_replayed(
    path: Path, value: Any, spelled: str, after: dict[str, Any]
) -> None:
    request = {"L": [{"N": "a"}]}
    draft = Draft(request)
    draft.set(path, value, "why")
    assert draft.request == after
    assert [change.path for change in draft.changes] == [spelled]
    assert replay(request, draft.changes) == after
    assert request == {"L": [{"N": "a"}]}


def test_a_value_that_is_there_is_no_change() -> None:
    draft = Draft({"A": [1], "B": ""})
    draft.set(("A",), [1], "why")
    draft.set(("C",), None, "why")
    assert draft.changes == ()


def test_a_changed_request_does_not_share_its_values() -> None:
    words = ["a"]
    draft = Draft({"A": words})
    draft.set(("B",), words, "why")
    words.append("b")
    assert draft.request == {"A": ["a"], "B": ["a"]}
    assert draft.changes[0].after == ["a"]


def test_a_number_is_not_a_truth_value() -> None:
    draft = Draft({"A": True})
    draft.set(("A",), 1, "why")
    assert draft.request["A"] is not True
    assert len(draft.changes) == 1
