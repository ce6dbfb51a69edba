from __future__ import annotations

import time

import pytest

from sm_proxy.local import layout
from sm_proxy.local.layout import Cell, Row
from sm_proxy.local.screen import Screen

COMMAND = "aws ec2 start-instances --instance-ids i-1"


@pytest.mark.parametrize(
    ("text", "columns"),
    [("bert", 4), ("bjørn", 5), ("任务", 4), ("e\u0301", 1), ("", 0), ("a任b", 4)],
)
def test_the_columns_of_a_text(text: str, columns: int) -> None:
    assert layout.cells(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("one two three", None, ["one two three"]),
        ("one two three", 7, ["one two", "three"]),
        ("one two three", 2, ["one", "two", "three"]),  # no word is broken
        ("任务 任务 任务", 9, ["任务 任务", "任务"]),
        (f"Start it: {COMMAND}.", 43, ["Start it:", f"{COMMAND}."]),
        (f"Start it: {COMMAND} (or not)", 45, ["Start it:", COMMAND, "(or not)"]),
        (f"Run `{COMMAND}`, then go on.", 46, ["Run", f"`{COMMAND}`,", "then go on."]),
        (f"(`{COMMAND}` ends it)", 46, [f"(`{COMMAND}`", "ends it)"]),
        (
            "Do this: ssh a b; then that: ssh c d",
            16,
            ["Do this:", "ssh a b; then", "that: ssh c d"],
        ),
        # Too long for any line.
        (
            f"Start it: {COMMAND}",
            30,
            ["Start it: aws ec2", "start-instances --instance-ids", "i-1"],
        ),
    ],
)
def test_lines_break_between_words_but_not_in_a_command(
    text: str, columns: int | None, lines: list[str]
) -> None:
    assert layout.wrapped(text, columns) == lines


def test_a_text_wraps_below_itself() -> None:
    rows = [("a", "one two three four five six seven"), ("long", "fix\nit"), ("", "more")]
    assert layout.pairs(rows, Screen(36)) == [
        "a     one two three four five six",
        "      seven",
        "long  fix",
        "      it",
        "      more",
    ]


def test_a_text_without_room_beside_its_label_stands_below() -> None:
    rows = [("a-long-label", "one two three four five"), ("b", "short"), ("c", f"Try: {COMMAND}")]
    assert layout.pairs(rows, Screen(30)) == [
        "a-long-label",
        "    one two three four five",
        "b             short",
        "c",
        "    Try: aws ec2",
        "    start-instances",
        "    --instance-ids i-1",
    ]


def test_a_text_goes_below_rather_than_break_its_command() -> None:
    label = "a-label-of-20-column"
    assert layout.pairs([(label, f"Now: {COMMAND}")], Screen(60)) == [
        label,
        f"    Now: {COMMAND}",
    ]


def test_wide_characters_keep_the_columns_straight() -> None:
    rows = [Row(("任务", "x")), Row(("e\u0301te\u0301", "y"))]
    assert layout.table(("JOB", "K"), rows, Screen(40)) == [
        "JOB   K",
        "任务  x",
        "e\u0301te\u0301   y",
    ]
    ascii_only = Screen(40, charset="ascii")
    head, first, _ = layout.table(("JOB", "K"), rows, ascii_only)
    assert head.index("K") == first.index("x")


def test_a_note_goes_below_before_a_name_gets_its_own_line() -> None:
    rows = [Row(("a-long-name", "no"), "it has ended"), Row(("b", "yes"))]
    headings = ("JOB", "SSH")
    assert layout.table(headings, rows, Screen(30)) == [
        "JOB          SSH",
        "a-long-name  no: it has ended",
        "b            yes",
    ]
    assert layout.table(headings, rows, Screen(20))[1:3] == [
        "a-long-name  no",
        "    it has ended",
    ]
    assert layout.table(headings, rows, Screen(14)) == [
        "JOB  SSH",
        "a-long-name",
        "     no",
        "    it has",
        "    ended",
        "b    yes",
    ]


def test_a_row_that_is_too_long_gets_a_line_for_each_cell() -> None:
    rows = [
        Row(("a", "space", "3 s")),
        Row(("b", "a kind that is long", "4 s"), "a note"),
        Row(("c", "hyperpod", "5 s")),
    ]
    assert layout.table(("JOB", "KIND", "AGE"), rows, Screen(24)) == [
        "JOB  KIND      AGE",
        "a    space     3 s",
        "b",
        "    KIND",
        "      a kind that is",
        "      long",
        "    AGE   4 s",
        "    a note",
        "c    hyperpod  5 s",
    ]
    assert len(layout.table(("JOB", "KIND", "AGE"), rows, Screen())) == 4


@pytest.mark.parametrize("columns", range(20, 61))
def test_rows_without_room_have_no_broken_word_and_no_lone_headings(columns: int) -> None:
    cells = ("training", Cell("Downloading", "bad"), "12 min", "500", "no")
    rows = [Row((name, *cells), "its address is unknown") for name in ("bert", "b" * columns)]
    headings = ("JOB", "KIND", "STATUS", "AGE", "NODES", "REACHABLE")
    screen = Screen(columns)
    lines = layout.table(headings, rows, screen)
    assert max(map(layout.cells, lines)) <= columns
    assert [line for line in lines if "JOB" in line] == [
        line for line in lines if set(headings) == set(line.split())
    ]
    assert [line.strip() for line in lines].count("b" * columns) == 1
    assert sum("Downloading" in line for line in lines) == len(rows)


def test_many_rows_are_laid_out_at_once() -> None:
    rows = [Row(("x" * (n % 60), "y" * (n % 50), "z" * (n % 40))) for n in range(2000)]
    began = time.process_time()
    layout.table(("A", "B", "C"), rows, Screen(40))
    assert time.process_time() - began < 2


def test_colours_do_not_count_as_columns() -> None:
    screen = Screen(40, colours=True)
    rows: list[tuple[Cell | str, str]] = [
        (Cell("bad", "bad"), "x"),
        (Cell("bad id", "bad", 3), "y"),
        ("worse", "z"),
    ]
    assert layout.pairs(rows, screen) == [
        "\033[31mbad\033[0m     x",
        "\033[31mbad\033[0m id  y",
        "worse   z",
    ]


def test_a_diff_is_coloured_but_not_wrapped() -> None:
    lines = "--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new " + "word " * 20 + "\n same\n"
    assert layout.coloured_diff(lines, Screen(20)) == lines
    coloured = layout.coloured_diff(lines, Screen(20, colours=True)).splitlines()
    assert coloured[0] == "\033[1m--- a\033[0m"
    assert coloured[3] == "\033[31m-\033[0mold"
    assert coloured[4].startswith("\033[32m+\033[0mnew word")
    assert coloured[5] == " same"


@pytest.mark.parametrize("columns", [None, 20, 80])
@pytest.mark.parametrize("text", ["", "\n", " " * 100, f"{' ' * 100}\n", "e\u0301\n\nx"])
def test_empty_text_is_accepted(text: str, columns: int | None) -> None:
    screen = Screen(columns)
    for label in ("", "a-label-longer-than-the-screen"):
        assert "".join("".join(layout.pairs([(label, text)], screen)).split()) == label + "".join(
            text.split()
        )
    assert not "".join(layout.paragraph(" " * 100, screen)).strip()


def test_a_long_word_takes_no_time() -> None:
    """The search for public keys would take 10 s if it began at each character."""
    began = time.process_time()
    layout.wrapped("x" * 50_000, 80)
    assert time.process_time() - began < 3  # it takes a few milliseconds
