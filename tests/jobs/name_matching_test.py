"""A name means itself in any case, else what begins with it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sm_proxy.jobs import name_matching


@dataclass(frozen=True)
class Item:
    name: str


LISTED = [Item("Lab"), Item("lab"), Item("lab-2"), Item("my-lab")]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("LAB", ["Lab", "lab"]),
        ("La", ["Lab", "lab", "lab-2"]),
        ("lab-", ["lab-2"]),
        ("ab", []),
    ],
)
def test_another_case_wins_over_a_beginning(typed: str, names: list[str]) -> None:
    assert [item.name for item in name_matching.meant(typed, LISTED)] == names


def test_a_wrong_name_suggests_near_ones_as_the_service_spells_them() -> None:
    assert name_matching.hint("my-lob", LISTED) == "Did you mean my-lab?"
    assert name_matching.hint("zzz", LISTED).startswith("Check the name")
