from __future__ import annotations

import json
from typing import Any

import pytest

from sm_proxy import cli, resolver
from sm_proxy.errors import SmProxyError
from sm_proxy.local import output
from tests.fakes import container


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """The hosts that were waited for, and how long."""
    seen: list[tuple[str, float]] = []

    def resolve(host: str, *_: Any, wait: float, on_status: Any, fresh: bool) -> Any:
        assert on_status is output.status
        assert fresh
        seen.append((host, wait))
        if host == "sm-late":
            raise SmProxyError("wait-timeout", "still Pending", "Wait longer.")
        return container(host=host)

    monkeypatch.setattr(resolver, "resolve", resolve)
    return seen


def test_ready(asked: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["wait", "sm-my-job"]) == 0
    assert asked == [("sm-my-job", 900)]
    line = "ready: sm-my-job is my-job algo-1 at 10.0.1.5 port 2222 (Training)\n"
    assert capsys.readouterr() == (line, "")


def test_for_scripts(asked: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["wait", "sm-my-job", "--timeout", "0", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["data"]["address"]) == ("wait", "10.0.1.5")
    assert asked == [("sm-my-job", 0)]


def test_too_late(asked: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["wait", "sm-late", "--timeout", "5"]) == 1
    assert capsys.readouterr() == ("", "sm-proxy: wait-timeout: still Pending. Wait longer.\n")
    assert asked == [("sm-late", 5)]


@pytest.mark.parametrize("seconds", ["-1", "soon", "1.5", "99999999"])
def test_what_is_no_timeout(seconds: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["wait", "sm-x", "--timeout", seconds])
    assert caught.value.code == 2
