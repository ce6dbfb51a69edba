"""`bootstrap` asks first, refuses what it cannot change, and leaves alone what ssh can enter."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sm_proxy import cli, resolver
from sm_proxy.bootstrap.server import Started
from sm_proxy.commands import bootstrap as command
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import marker, search
from sm_proxy.jobs.hostname import parse
from sm_proxy.local import prompt
from sm_proxy.settings import Settings
from tests.fakes import (
    NODE_STREAM,
    Answers,
    Clock,
    FakeAws,
    description,
    events,
    marker_line,
    streams,
    working,
)

ON: Any = {"RemoteDebugConfig": {"EnableRemoteDebug": True}, "VpcConfig": {}}
SILENT = events("epoch 1")


class Account:
    """Runs `bootstrap` against the answers of one account; the session itself is played."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.aws = FakeAws()
        self.asked: list[str] = []
        self.line = marker_line(port=23456, addresses=[])
        self.started = 0
        self.reply: Callable[[], bool] = lambda: True
        monkeypatch.setattr(command, "Aws", lambda *_: self.aws)
        monkeypatch.setattr(command, "_start", self._start)
        monkeypatch.setattr(prompt, "confirm", self._confirm)

    def _confirm(self, question: str) -> bool:
        self.asked.append(question)
        return self.reply()

    def _start(self, *_: object) -> Started:
        self.started += 1
        found = marker.parse(self.line)
        assert found
        return Started(self.line, found)

    def run(self, *words: str, **answers: Answers) -> int:
        known: dict[str, Answers] = {
            "DescribeTrainingJob": description(**ON),
            "DescribeLogStreams": streams(NODE_STREAM),
            "GetLogEvents": SILENT,
        }
        self.aws = working(**{**known, **answers})
        return cli.main(["bootstrap", *words])


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(search, "time", Clock())
    monkeypatch.setattr(FakeAws, "ensure_credentials", lambda _: None)
    return Account(monkeypatch)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_the_marker_is_kept_for_ssh(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert account.run("sm-my-job", "--json") == 0
    shown = json.loads(capsys.readouterr().out)["data"]
    assert shown == {
        "job": "my-job",
        "node": "algo-1",
        "changed": True,
        "source": "session",
        "port": 23456,
        "user": "root",
        "host_keys": shown["host_keys"],
    }

    assert account.asked == ["Change the running container of my-job/algo-1?"]
    found = resolver.resolve(parse("sm-my-job", "sm-"), Settings(), account.aws)
    assert (found.source, found.port) == ("session", 23456)


def test_the_changes_are_shown_before_the_question(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.reply = lambda: False
    assert account.run("sm-my-job") == 1
    shown = capsys.readouterr()
    assert "only the key SHA256:" in shown.err
    assert "logs its sessions" in shown.err
    assert shown.out == "training job my-job was not changed\n"
    assert account.started == 0


def test_without_a_terminal_it_needs_yes(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody() -> bool:
        raise prompt.NobodyToAskError("there is no terminal")

    account.reply = nobody
    assert account.run("sm-my-job") == 2
    assert "sm-proxy: usage: " in (line := last_line(capsys))
    assert "sm-proxy bootstrap sm-my-job --yes" in line
    assert account.started == 0
    assert account.run("sm-my-job", "--yes") == 0
    assert account.started == 1


def test_a_container_with_our_entrypoint_is_left_alone(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert account.run("sm-my-job", GetLogEvents=events(marker_line())) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert (account.started, account.asked) == (0, [])


@pytest.mark.parametrize("line", [marker_line(port=0, problems=["no sshd"]), "inet 10.9.9.9/8"])
def test_a_container_that_ssh_cannot_enter_is_changed(account: Account, line: str) -> None:
    assert account.run("sm-my-job", GetLogEvents=events(line)) == 0
    assert account.started == 1


@pytest.mark.parametrize(
    ("answers", "code", "next_step"),
    [
        (
            {"DescribeTrainingJob": description()},
            "remote-debug-off",
            "sm-proxy enable-remote-debug sm-my-job, then run: sm-proxy bootstrap sm-my-job",
        ),
        (
            {"DescribeTrainingJob": description("Downloading", **ON)},
            "no-address",
            "When it is Training: sm-proxy bootstrap sm-my-job",
        ),
        ({"DescribeTrainingJob": description("Completed", "Completed", **ON)}, "job-ended", ""),
        (
            {"DescribeLogStreams": SmProxyError("access-denied", "denied", "ask for it")},
            "access-denied",
            "ask for it",
        ),
    ],
)
def test_a_job_that_no_session_reaches_is_refused(
    account: Account,
    capsys: pytest.CaptureFixture[str],
    answers: dict[str, Any],
    code: str,
    next_step: str,
) -> None:
    assert account.run("sm-my-job", "--yes", **answers) == 1
    line = last_line(capsys)
    assert line.startswith(f"sm-proxy: {code}: ")
    assert next_step in line
    assert account.started == 0


def test_another_user_is_named(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.line = marker_line(port=23456, user="worker")
    assert account.run("sm-my-job", "--yes") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ssh worker@sm-my-job"


def test_a_restarted_container_can_be_changed_again(account: Account) -> None:
    assert account.run("sm-my-job", "--yes") == 0
    newer = streams("my-job/algo-1-1900000000", NODE_STREAM)
    assert account.run("sm-my-job", "--yes", DescribeLogStreams=newer) == 0
    assert account.started == 2
    found = resolver.resolve(parse("sm-my-job", "sm-"), Settings(), account.aws)
    assert found.source == "session"
