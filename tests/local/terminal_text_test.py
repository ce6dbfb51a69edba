from __future__ import annotations

import pytest

from sm_proxy.local import terminal_text

RED, RESET = "\x1b[31m", "\x1b[0m"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one", ["one"]),
        ("", [""]),
        ("one\ttwo", ["one\ttwo"]),
        ("one\ntwo\n", ["one", "two"]),
        ("one\r\n\r\ntwo\r\n", ["one", "", "two"]),
        ("10 %\r20 %\r30 %", ["10 %", "20 %", "30 %"]),
        ("one\u2028two\x85three\vfour", ["one", "two", "three", "four"]),
    ],
)
def test_every_line_of_a_text_is_found(text: str, expected: list[str]) -> None:
    assert terminal_text.lines(text) == expected


@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plain, \u00e4\u4f60 \U0001f600", "plain, \u00e4\u4f60 \U0001f600"),
        ("tab\tand\u00a0space", "tab\tand\u00a0space"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]52;c;ZXZpbA==\x1b\\text", "text"),
        ("\x9b31mtext", "text"),
        ("\x1bPpayload\x1b\\text", "text"),
        ("\x1b[8mhidden", "hidden"),
        ("\x1b[5mblinks", "blinks"),
        ("\x1b[31;8mhidden", "hidden"),
        ("\x1bcreset", "reset"),
        ("bell\x07 back\x08 null\x00", "bell\ufffd back\ufffd null\ufffd"),
        ("\u202etfel ot thgir", "\ufffdtfel ot thgir"),
        ("\x1b]0;no end", "0;no end"),
        ("\x1b", "\ufffd"),
    ],
)
def test_no_escape_gets_through(line: str, expected: str, *, colours: bool) -> None:
    assert terminal_text.safe(line, colours=colours) == expected


@pytest.mark.parametrize(
    "sgr", ["31", "1;31", "01;32", "38;5;208", "48;2;1;2;3", "0", "39;49", "97", "107", ""]
)
def test_colours_stay_if_they_are_wanted(sgr: str) -> None:
    line = f"\x1b[{sgr}mtext\x1b[2K"
    assert terminal_text.safe(line, colours=True) == f"\x1b[{sgr}mtext{RESET}"
    assert terminal_text.safe(line, colours=False) == "text"


def test_colours_end_with_the_line() -> None:
    assert terminal_text.safe(f"{RED}a{RESET}b", colours=True) == f"{RED}a{RESET}b{RESET}"


def test_a_sequence_cannot_be_made_of_what_is_left_of_others() -> None:
    line = "\x1b\x1b[2J[2Jx"
    for colours in (True, False):
        assert "\x1b" not in terminal_text.safe(line, colours=colours)


@pytest.mark.parametrize(
    "part", ["\x9d", "\x1b]", "\x1bP", "\x9b", "\x9b0", "\x1b[ ", "\x1b[31;", "\x1b"]
)
def test_a_long_hostile_line_takes_no_longer_than_it_is_long(part: str) -> None:
    """Quadratic work would take an hour."""
    cleaned = terminal_text.safe(part * 250_000, colours=True)
    assert "\x1b" not in cleaned
