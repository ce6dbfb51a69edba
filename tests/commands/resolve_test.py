from __future__ import annotations

import json

import pytest

from sm_proxy import cli
from sm_proxy.commands import resolve
from sm_proxy.settings.durations import LONGEST_WAIT_S
from tests.fakes import working


def test_it_waits_only_with_the_option(
    waits: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_PROXY_WAIT", "60")
    assert cli.main(["resolve", "sm-my-job"]) == 0
    for given in ("0", "5", str(LONGEST_WAIT_S), "10m"):
        assert cli.main(["resolve", "sm-my-job", "--wait", given, "--json"]) == 0
    assert waits == [0, 0, 5, LONGEST_WAIT_S, 600]
    out = capsys.readouterr().out.splitlines()
    assert json.loads(out[-1])["data"]["port"] == 2222


def test_resolve_prints_the_container(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resolve, "Aws", lambda *_: working())
    assert cli.main(["resolve", "sm-my-job"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["address"] == "10.0.1.5"
    assert lines["host_keys"].startswith("ssh-ed25519 ")
    assert cli.main(["resolve", "sm-my-job", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert set(data) == {
        *("job", "kind", "node", "address", "port", "user", "host_keys", "status", "source"),
        *("vpc_id", "cached"),
    }
