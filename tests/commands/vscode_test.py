from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import cli, resolver
from sm_proxy.editors import jsonc
from sm_proxy.inventory import trial
from sm_proxy.jobs.hostname import Target
from sm_proxy.ssh_config import effective
from tests.fakes import container

FAKE = """#!/bin/sh
printf '%s\\n' "$@" > "$RECORD"
echo chatter
"""


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the fake `code`, the only editor there is, writes its arguments."""
    program = tmp_path / "bin" / "code"
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    monkeypatch.setenv("RECORD", str(tmp_path / "argv"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(effective, "effective_options", lambda _: {"user": "root"})
    return tmp_path / "argv"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """The hosts that were waited for, and how long."""
    seen: list[tuple[str, float]] = []

    def resolve(target: Target, *_: Any, wait: float, on_status: Any, fresh: bool) -> Any:
        host = target.host
        seen.append((host, wait))
        return container(host=host, user="ubuntu" if "ubuntu" in host else "root")

    monkeypatch.setattr(resolver, "resolve", resolve)
    monkeypatch.setattr(trial, "no_session_left_open", contextlib.nullcontext)
    monkeypatch.setattr(trial, "refuse_unless_answering", lambda *_: None)
    return seen


def settings(tmp_path: Path) -> Path:
    return tmp_path / "xdg" / "Code" / "User" / "settings.json"


def test_vscode_waits_writes_the_settings_and_opens_the_editor(
    record: Path, asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["vscode", "sm-x", "/opt/ml/code", "--timeout", "5"]) == 0
    assert asked == [("sm-x", 5)]
    assert record.read_text().split() == ["--remote", "ssh-remote+sm-x", "/opt/ml/code"]
    meaning = jsonc.parse(settings(tmp_path).read_text())
    assert meaning == {"remote.SSH.remotePlatform": {"sm-x": "linux"}}
    assert capsys.readouterr().out == "opened sm-x in Visual Studio Code\n"


def test_another_user_than_that_of_ssh_is_named(record: Path, asked: list[Any]) -> None:
    assert cli.main(["vscode", "sm-ubuntu"]) == 0
    digits = record.read_text().split()[1].partition("+")[2]
    assert json.loads(bytes.fromhex(digits)) == {"hostName": "sm-ubuntu", "user": "ubuntu"}


def test_no_wait_and_global_timeout(
    record: Path, asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["vscode", "sm-x", "--no-wait", "--global-timeout", "--json"]) == 0
    assert asked == []
    assert jsonc.parse(settings(tmp_path).read_text())["remote.SSH.connectTimeout"] == 960
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["editor"], data["command"][1:]) == ("code", ["--remote", "ssh-remote+sm-x"])
    assert data["settings"] == {"path": str(settings(tmp_path)), "changed": True, "problem": None}


def test_settings_that_cannot_be_parsed_are_not_changed(
    record: Path, asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(tmp_path).parent.mkdir(parents=True)
    settings(tmp_path).write_text("{")
    assert cli.main(["vscode", "sm-x"]) == 0
    assert record.exists()
    shown = capsys.readouterr().err
    assert 'Add by hand: "remote.SSH.remotePlatform": {"sm-x": "linux"}' in shown
    assert settings(tmp_path).read_text() == "{"


def test_vscode_fails_without_an_editor(
    asked: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["vscode", "sm-x"]) == 1
    assert asked == []
    err = capsys.readouterr().err
    assert err.startswith("sm-proxy: unsupported: no editor found on this machine")
    assert "Remote-SSH: Connect to Host" in err


@pytest.mark.parametrize(("words", "status"), [(["x"], 1), (["sm-x;"], 1), (["sm-x", "code"], 2)])
def test_bad_arguments_are_refused(record: Path, words: list[str], status: int) -> None:
    try:
        found = cli.main(["vscode", *words])
    except SystemExit as ended:
        found = int(ended.code or 0)
    assert found == status
    assert not record.exists()
