"""A name means itself in any case, else what begins with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from sm_proxy.jobs import hostname, name_matching
from sm_proxy.state import host_names
from sm_proxy.state.host_names import HostName


@dataclass(frozen=True)
class Item:
    name: str


LISTED = [Item("Lab"), Item("lab"), Item("lab-2"), Item("my-lab")]


def hint(host: str, known: Iterable[Item] = LISTED) -> str:
    return name_matching.hint(hostname.parse(host, "sm-"), known)


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
    assert hint("sm-my-lob") == "Did you mean `sm-my-lab`?"
    assert hint("sm-my-lob.algo-2.processing") == "Did you mean `sm-my-lab.algo-2.processing`?"
    assert hint("sm-zzz").startswith("Check the name")


def test_a_name_that_holds_what_was_typed_is_suggested() -> None:
    long = "team-a-bert-large-2026-11-30"
    assert hint("sm-bert", [Item("gpt"), Item(long), Item(long)]) == f"Did you mean `sm-{long}`?"
    assert hint("sm-be", [Item(long)]).startswith("Check the name")


def test_without_a_list_earlier_lists_on_this_machine_help() -> None:
    assert hint("sm-bret", []).startswith("Check the name")
    shown = ("sm-bert.processing", "sm-old", "sm-old.algo-2", "eu-bret-1", "sm-bret..x")
    host_names.keep(HostName(host) for host in shown)
    assert hint("sm-bret", []) == "Did you mean `sm-bert.processing`?"
    assert hint("sm-old", []).startswith("Check the name")
    assert hint("sm-old.algo-3", []).startswith("Check the name")
    assert hint("sm-old.transform", []) == "Did you mean `sm-old`?"
    assert hint("sm-bert", []) == "Did you mean `sm-bert.processing`?"
    assert hint("sm-bret", [Item("bret-2")]) == "Did you mean `sm-bret-2`?"


def test_a_name_that_no_host_name_can_have_is_not_suggested() -> None:
    assert hint("sm-bert", [Item("bert-"), Item("bert\x1b[2J")]).startswith("Check the name")
