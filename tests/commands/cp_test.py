"""`sm-proxy cp`: its words, its last line, its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sm_proxy import cli
from sm_proxy.commands import cp
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.transfer.model import Outcome, Problem
from sm_proxy.transfer.task import Options

WHOLE = Outcome(3, 1_200_000, 2.0, 8, "ssh", verified=True)
Copied = Callable[..., list[Any]]


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Copied:
    """Let copies have an outcome, or raise; returns what they are called with."""

    def prepare(outcome: Outcome | BaseException) -> list[Any]:
        calls: list[Any] = []

        def copy(*arguments: Any, **named: Any) -> Outcome:
            calls.append((*arguments, named))
            named["on_status"]("3 files, 1.2 MB from sm-bert: over up to 8 sessions")
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(cp, "copy", copy)
        return calls

    return prepare


def problems(count: int, code: Code = "copy-failed") -> tuple[Problem, ...]:
    return tuple(
        Problem(f"/x/{number}", SmProxyError(code, "no\x1b[2J permission"))
        for number in range(count)
    )


def test_a_whole_copy_says_how_and_what_and_ends_with_0(
    copied: Copied, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = copied(WHOLE)
    assert cli.main(["cp", "sm-bert:a", "."]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "sm-proxy: 3 files, 1.2 MB from sm-bert: over up to 8 sessions",
        "sm-proxy: 3 files, 1.2 MB in 2.0s (600.0 KB/s), verified",
    ]
    ends, _, _, options, _ = calls[0]
    assert ends.direction == "down"
    assert options == Options()


def test_few_bytes_have_no_rate(copied: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    copied(Outcome(1, 3, 7.0, 1, "ssh", verified=True))
    assert cli.main(["cp", "sm-bert:a", "."]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "sm-proxy: 1 file, 3 B in 7.0s, verified"


def test_quiet_says_nothing(copied: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    calls = copied(WHOLE)
    assert cli.main(["cp", "-q", "sm-bert:a", "."]) == 0
    assert capsys.readouterr() == ("", "")
    assert calls[0][-1]["progress"] is None


def test_every_option_arrives(copied: Copied) -> None:
    calls = copied(WHOLE)
    words = "cp -r -p --sessions 3 --via s3 --bucket b/p --compress no --no-verify a b sm-bert:x"
    assert cli.main(words.split()) == 0
    ends, _, _, options, _ = calls[0]
    assert [place.path for place in ends.sources] == ["a", "b"]
    assert options == Options(
        recursive=True, sessions=3, via="s3", bucket="b/p", compress=False, verify=False
    )


@pytest.mark.parametrize("number", ["0", "-1", "65", "x", "\N{SUPERSCRIPT TWO}", "9" * 5000])
def test_a_number_of_sessions_is_bounded(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["cp", f"--sessions={number}", "a", "sm-bert:"])
    assert caught.value.code == 2
    assert "a number from 1 to 64" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["a", "b"], ["sm-a:x", "sm-b:y"], ["scp://sm-a/x", "."]])
def test_words_that_make_no_copy_are_usage(
    words: list[str], copied: Copied, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = copied(WHOLE)
    assert cli.main(["cp", *words]) == 2
    assert "sm-proxy: usage: " in capsys.readouterr().err
    assert not calls


def test_problems_are_listed_and_bounded(
    copied: Copied, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(Outcome(1, 1, 1.0, 1, "ssh", verified=True, problems=problems(30)))
    assert cli.main(["cp", "-q", "sm-bert:a", "."]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 22
    assert lines[0] == "sm-proxy: copy-failed: /x/0: no\N{REPLACEMENT CHARACTER}[2J permission"
    assert lines[20] == "sm-proxy: and 10 more; --json lists all"
    assert lines[21].startswith("sm-proxy: copy-failed: 30 files or folders were not copied, 1 ")


def test_one_problem_is_the_last_line(copied: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    copied(Outcome(1, 1, 1.0, 1, "ssh", verified=True, problems=problems(1, "source-changed")))
    assert cli.main(["cp", "-q", "sm-bert:a", "."]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sm-proxy: source-changed: /x/0: ")


def test_an_unverified_copy_ends_with_1_unless_that_is_accepted(
    copied: Copied, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(Outcome(1, 1, 1.0, 1, "ssh", verified=False))
    assert cli.main(["cp", "sm-bert:a", "."]) == 1
    assert "sm-proxy: not-verified: " in capsys.readouterr().err.splitlines()[-1]
    assert cli.main(["cp", "--no-verify", "sm-bert:a", "."]) == 0
    assert capsys.readouterr().err.splitlines()[-1].endswith(", not verified")


def test_json_has_the_figures_and_all_problems(
    copied: Copied, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(Outcome(1, 10, 1.23456, 4, "both", verified=True, problems=problems(30)))
    assert cli.main(["cp", "--json", "sm-bert:a", "."]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["error"]["code"] == "copy-failed"
    data = found["data"]
    assert len(data.pop("problems")) == 30
    assert data == {
        "files": 1,
        "bytes": 10,
        "seconds": 1.235,
        "sessions": 4,
        "via": "both",
        "verified": True,
    }


def test_ctrl_c_says_how_to_go_on(copied: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    copied(KeyboardInterrupt())
    assert cli.main(["cp", "-q", "sm-bert:a", "."]) == 130
    assert capsys.readouterr().err == ("sm-proxy: stopped: run the same command again to resume\n")
