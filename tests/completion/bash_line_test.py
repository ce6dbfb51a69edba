"""Compared with bash itself: it must read what we would insert as the word that is meant."""

from __future__ import annotations

import subprocess

import pytest

from sm_proxy.completion import bash_line
from tests.completion.conftest import needs

BREAKS = " \t\n\"'><=;|&(:"
HOSTILE = [
    "plain",
    "a b",
    "$(touch x)",
    "`touch x`",
    "a'b",
    'a"b',
    "a\\b",
    "x;y&z|w",
    "~root",
    "#c",
    "*?[a]{b,c}",
    "a!b",
    "é",
]


@pytest.mark.parametrize(
    ("line", "words", "kept", "quote"),
    [
        ("sm-proxy ", ["sm-proxy", ""], 0, ""),
        ("sm-proxy  li", ["sm-proxy", "li"], 0, ""),
        ("sm-proxy --region=eu", ["sm-proxy", "--region=eu"], 9, ""),
        ("sm-proxy cp sm-a:", ["sm-proxy", "cp", "sm-a:"], 5, ""),
        ("sm-proxy a\\ b 'c d", ["sm-proxy", "a b", "c d"], 0, "'"),
        ('sm-proxy --profile="a b', ["sm-proxy", "--profile=a b"], 10, '"'),
        ('sm-proxy "a\\"b" x', ["sm-proxy", 'a"b', "x"], 0, ""),
        ("sm-proxy 'a\\", ["sm-proxy", "a\\"], 0, "'"),
        ('sm-proxy "" ', ["sm-proxy", "", ""], 0, ""),
        ("sm-proxy a\\", ["sm-proxy", "a"], 0, ""),
    ],
)
def test_a_line_is_taken_apart_as_bash_does(
    line: str, words: list[str], kept: int, quote: str
) -> None:
    found = bash_line.split(line, BREAKS)
    assert ([*found.words], found.kept, found.quote) == (words, kept, quote)


@needs("bash")
def test_bash_reads_what_is_inserted_as_the_word_that_is_meant() -> None:
    written, meant = [], []
    for quote in ("", "'", '"'):
        for word in HOSTILE:
            inserted = bash_line.split(f"sm-proxy {quote}", BREAKS).insertion(word)
            if inserted is not None:
                written.append(f"{quote}{inserted}{quote}")
                meant.append(word)
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {' '.join(written)}"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split("\0")[:-1] == meant


@pytest.mark.parametrize("word", ["a\nb", "a\x1bb"])
def test_a_word_that_cannot_be_shown_is_not_inserted(word: str) -> None:
    assert bash_line.split("sm-proxy ", BREAKS).insertion(word) is None


def test_a_word_that_cannot_stand_in_the_open_quote_is_not_inserted() -> None:
    assert bash_line.split("sm-proxy '", BREAKS).insertion("it's") is None
    assert bash_line.split('sm-proxy "', BREAKS).insertion("a!b") is None
