"""The parts of the command besides its checks."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from sm_proxy import cli
from sm_proxy.commands import doctor
from sm_proxy.doctor import checks, runner
from sm_proxy.doctor.check import Context, Finding
from sm_proxy.errors import SmProxyError
from sm_proxy.local.output import Result
from sm_proxy.local.screen import Screen
from sm_proxy.routes import sessions
from sm_proxy.routes.sessions import Sessions
from sm_proxy.ssm.session import Grant


class Api:
    """Gives one session."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def start(self) -> Grant:
        return Grant("s-1", "token", "wss://stream")

    def terminate(self, session_id: str) -> None:
        self.ended.append(session_id)


def text_of(result: Result) -> str:
    assert callable(result.text)
    return result.text(Screen())


@pytest.mark.parametrize("interrupted", [True, False])
def test_the_session_of_an_unfinished_check_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, interrupted: bool
) -> None:
    """It timed out, or the user pressed ^C; no code holds its tunnel."""
    for kind in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"SM_PROXY_{kind}_DIR", str(tmp_path / kind))
    monkeypatch.setattr(sessions, "SESSIONS", Sessions())
    api = Api()
    calls = 0

    def examine(*_: object) -> list[Finding]:
        nonlocal calls
        calls += 1
        if calls == 1:  # the last recorded failure
            return []
        sessions.SESSIONS.start(api, "here")  # type: ignore[arg-type] # of this only
        if interrupted:
            raise KeyboardInterrupt
        return [Finding("tunnel", "failed", "no answer within 45 s", code="network")]

    monkeypatch.setattr(runner, "examine", examine)
    args = argparse.Namespace(host="sm-my-job", ssh_config=None, bundle=None, verbose=False)
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            doctor.run(args, doctor.load_settings(args))
    else:
        assert doctor.run(args, doctor.load_settings(args)).data["cause"] == "network"
    assert api.ended == ["s-1"]


def test_a_check_with_a_bug_does_not_count_as_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"SM_PROXY_{kind}_DIR", str(tmp_path / kind))

    def broken(_: Context) -> str:
        raise KeyError("x")

    args = argparse.Namespace(host=None, ssh_config=None, bundle=None, verbose=False)
    monkeypatch.setattr(checks, "stages", lambda _: ((("vpc", lambda _: "vpc-1"),),))
    assert text_of(doctor.run(args, doctor.load_settings(args))).endswith("\nNo problem found.")
    monkeypatch.setattr(checks, "stages", lambda _: ((("vpc", broken),),))
    found = doctor.run(args, doctor.load_settings(args))
    last = text_of(found).splitlines()[-1]
    assert last == "No problem found, but a bug in sm-proxy stopped these checks: vpc."
    assert (found.data["cause"], found.exit_status) == ("bug", 1)
    assert found.failure is not None
    assert "reports" in found.failure.hint


def test_a_check_with_a_bug_does_not_hide_a_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"SM_PROXY_{kind}_DIR", str(tmp_path / kind))

    def broken(_: Context) -> str:
        raise KeyError("x")

    def failing(_: Context) -> str:
        raise SmProxyError("no-vpc", "none", "Fix it.")

    args = argparse.Namespace(host=None, ssh_config=None, bundle=None, verbose=False)
    for stages in (
        ((("a", broken),), (("b", failing),)),
        ((("a", broken), ("b", failing)),),
        ((("b", failing),), (("a", broken),)),
    ):
        monkeypatch.setattr(checks, "stages", lambda _, stages=stages: stages)
        assert doctor.run(args, doctor.load_settings(args)).data["cause"] == "no-vpc"


def test_a_failed_check_is_shown_with_its_fix_and_as_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"SM_PROXY_{kind}_DIR", str(tmp_path / kind))

    def offline(_: Context) -> str:
        raise SmProxyError("bastion-offline", "it is away", "Start it.")

    monkeypatch.setattr(checks, "stages", lambda _: ((("agent", offline),),))
    assert cli.main(["doctor"]) == 1
    shown = capsys.readouterr()
    row, fix, *_ = shown.out.splitlines()
    assert row == "failed    agent  it is away"
    assert fix.strip() == "Start it."
    assert fix.index("Start") == row.index("it is away")
    assert shown.out.splitlines()[-1] == (
        "The first cause is agent. Fix it, then check again: sm-proxy doctor"
    )
    assert shown.err.splitlines()[-1] == "sm-proxy: bastion-offline: it is away. Start it."


def test_a_cause_is_printed_once_and_the_report_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"SM_PROXY_{kind}_DIR", str(tmp_path / kind))
    job = Finding("job", "failed", "there is no job x", 1, "Check the name.", "job-not-found")
    before = Finding("last-failure", "passed", "3 s ago: job-not-found: there is no job x. Check.")
    others = Finding("last-failure", "passed", "2 h ago: network: no answer within 45 s")
    report = tmp_path / "report.txt"
    args = argparse.Namespace(host=None, ssh_config=None, bundle=str(report), verbose=False)
    for earlier, count in ((before, 1), (others, 2)):
        found = iter([[earlier], [job]])
        monkeypatch.setattr(runner, "examine", lambda *_, found=found: next(found))
        shown = text_of(doctor.run(args, doctor.load_settings(args)))
        assert shown.count("there is no job x") == 1
        assert len(shown.split("\n\n")[0].splitlines()) == count + 1  # and the fix
    assert f"wrote the report {report}" in capsys.readouterr().err
    assert "last-failure" in report.read_text()
