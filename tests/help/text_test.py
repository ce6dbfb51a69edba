from __future__ import annotations

import pytest

from sm_proxy.help import text
from sm_proxy.help.described import Command, Group, Row

LONG = "what it does, in so many words that they do not fit into one line of 60 columns"
COMMAND = Command(
    prog="sm-proxy do",
    usage=("sm-proxy do FILE", "sm-proxy do -- CMD"),
    description="Does it. You want it when it is not done yet, or when nobody knows.",
    examples=(("sm-proxy do x", "short"),),
    groups=(Group("options", (Row("--a-very-long-option NAME[,...]", LONG), Row("--b", LONG))),),
    epilog="That is all.",
)


def test_names_stand_beside_their_text_and_long_names_above_it() -> None:
    assert text.render(COMMAND, 60).splitlines() == [
        "usage: sm-proxy do FILE",
        "       sm-proxy do -- CMD",
        "",
        "Does it. You want it when it is not done yet, or when nobody",
        "knows.",
        "",
        "examples:",
        "  sm-proxy do x  short",
        "",
        "options:",
        "  --a-very-long-option NAME[,...]",
        "                        what it does, in so many words that",
        "                        they do not fit into one line of 60",
        "                        columns",
        "  --b                   what it does, in so many words that",
        "                        they do not fit into one line of 60",
        "                        columns",
        "",
        "That is all.",
    ]


def test_an_example_stays_on_one_line_with_its_purpose_below() -> None:
    examples = (("sm-proxy do --it " + "x" * 30, LONG),)
    shown = text.render(Command("p", ("p",), "", examples, (), ""), 60)
    assert shown.splitlines()[2:] == [
        "examples:",
        f"  {examples[0][0]}",
        "      what it does, in so many words that they do not fit",
        "      into one line of 60 columns",
    ]


def test_on_a_narrow_screen_a_text_stands_below_its_name() -> None:
    shown = text.render(COMMAND, 30).splitlines()
    assert max(map(len, shown)) <= 30
    assert shown[11:17] == [
        "options:",
        "  --a-very-long-option",
        "    NAME[,...]",
        "      what it does, in so many",
        "      words that they do not",
        "      fit into one line of 60",
    ]


@pytest.mark.parametrize(("wide", "used"), [("5", 20), ("40", 40), ("80", 80), ("200", 100)])
def test_help_uses_at_most_100_columns(
    wide: str, used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", wide)
    assert text.columns() == used
