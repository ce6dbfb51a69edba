"""What a build prints comes to the terminal, and does no harm there."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.image import build_log
from sm_proxy.image.build_log import BuildLog
from sm_proxy.local import secret_values
from tests.fakes import FakeAws
from tests.image.account import account, build, log

BUILD = build()["builds"][0]
ABSENT = ServiceError("ResourceNotFoundException", "no stream", "logs:GetLogEvents")
FAULT = ServiceError("ServiceUnavailableException", "ours", "logs:GetLogEvents", passing=True)


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_log, "_LAG_S", 0.0)


def reader(aws: FakeAws) -> tuple[BuildLog, list[str], list[str]]:
    lines: list[str] = []
    told: list[str] = []
    return BuildLog(aws, lines.append, told.append), lines, told


def test_each_line_is_shown_once() -> None:
    pages = [["one"], ["two"]]

    def read(**asked: Any) -> dict[str, Any]:
        return dict(log(*pages)(**asked))

    watched, lines, _ = reader(account(GetLogEvents=read))
    assert watched.read(BUILD)
    assert not watched.read(BUILD)
    pages.append(["three"])
    assert watched.read(BUILD)
    assert lines == ["one", "two", "three"]


def test_a_log_that_does_not_exist_yet_is_waited_for() -> None:
    watched, lines, told = reader(
        account(GetLogEvents=[ABSENT, FAULT, log(["one"])(), {"nextForwardToken": "f/1"}])
    )
    assert not watched.read({"logs": {}})
    assert not watched.read(BUILD)
    assert not watched.read(BUILD)
    assert watched.read(BUILD)
    assert (lines, told) == (["one"], [])


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("plain", ["plain"]),
        ("    indented\tx", ["    indented x"]),
        ("\x1b[31mred\x1b[0m", ["red"]),
        ("\x1b]0;title\x07x", ["\ufffd]0;title\ufffdx"]),
        ("10%\r50%\r100%\r", ["100%"]),
        ("one\ntwo\r\n\n", ["one", "two"]),
        ("", [""]),
        ("\u202ex", ["\ufffdx"]),
        ("x " * 1500, ["x " * 999 + "x\N{HORIZONTAL ELLIPSIS}"]),
        ("1: digest: sha256:" + "ab12" * 16, ["1: digest: sha256:" + "ab12" * 16]),
        ("token is 5f3a-very-secret-value", ["token is [redacted]"]),
    ],
)
def test_a_line_is_cleaned(printed: str, shown: list[str]) -> None:
    secret_values.keep("5f3a-very-secret-value")
    watched, lines, _ = reader(account(GetLogEvents=log([printed])))
    watched.read(BUILD)
    assert lines == shown


def test_the_last_lines_are_kept() -> None:
    watched, _, _ = reader(account(GetLogEvents=log([str(n) for n in range(1000)])))
    watched.read(BUILD)
    assert watched.last[-1] == "999"
    assert len(watched.last) == build_log.KEPT


def test_late_lines_are_shown_and_their_end_is_noticed() -> None:
    end = "[Container] 2026/11/29 Phase complete: POST_BUILD State: SUCCEEDED"
    pages = iter([[], [], ["late", end]])
    aws = account(
        GetLogEvents=lambda **_: {
            "events": [{"message": line} for line in next(pages, [])],
            "nextForwardToken": None,
        }
    )
    watched, lines, _ = reader(aws)
    watched.read_rest(BUILD)
    assert lines == ["late", end]
    watched.read_rest({"logs": {}})  # a build that never had a log
