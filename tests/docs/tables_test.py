"""The tables of the docs have every policy, error code, route and setting."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from sm_proxy.errors import Code
from sm_proxy.infra import policies
from sm_proxy.settings.route_names import ROUTE_NAMES
from sm_proxy.settings.schema import Settings


def page(name: str) -> str:
    return (Path(__file__).parents[2] / "docs" / f"{name}.md").read_text(encoding="utf-8")


SCOPE = policies.Scope("aws", "*", "111122223333")


def test_the_policy_is_the_least_of_a_user() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", page("permissions"), re.DOTALL)
    assert json.loads(shown) == policies.document("user", SCOPE, minimal=True)


def test_the_table_has_every_optional_statement_of_a_user() -> None:
    lines = page("permissions").partition("\n| optional statement |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \|$", lines, re.MULTILINE)
    assert rows == [
        (item.sid, ", ".join(f"`{action}`" for action in item.actions), item.why)
        for item in policies.statements("user", SCOPE)
        if item.optional
    ]


def test_each_policy_is_named() -> None:
    section = page("permissions").partition("\n| name | for |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z]+)` \|", section, re.MULTILINE) == list(policies.PIECES)


def test_each_error_code_has_a_section_with_its_cause_and_its_fix() -> None:
    sections = re.split(r"^#+ ", page("errors"), flags=re.MULTILINE)
    codes = {found[1]: text for text in sections if (found := re.match(r"`([a-z-]+)`\n", text))}
    assert sorted(codes) == sorted(get_args(Code))
    short = [
        code
        for code, text in codes.items()
        if not re.search(r"\n\n\*\*Cause\.\*\* .*\n\n\*\*Fix\.\*\* ", text, re.DOTALL)
    ]
    assert short == []
    named = re.findall(r"\[`([a-z-]+)`\]\(#", page("errors"))
    assert sorted(named) == sorted(codes)


def test_the_table_has_every_route_in_the_order_in_which_they_are_tried() -> None:
    lines = page("routes").partition("\n| route | for |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `([a-z-]+)` \|", lines, re.MULTILINE)
    assert [name for name in named if name in ROUTE_NAMES] == list(ROUTE_NAMES)


def test_the_table_has_every_setting() -> None:
    rows = re.findall(r"^\| `([a-z]\w*)` \|", page("settings"), re.MULTILINE)
    assert rows == [item.name for item in fields(Settings)]
