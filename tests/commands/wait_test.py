from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from sm_proxy import cli, resolver
from sm_proxy.errors import SmProxyError
from sm_proxy.inventory import trial
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.local import output
from tests.fakes import container, space


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """The hosts that were waited for, and how long."""
    seen: list[tuple[str, float]] = []
    tried.clear()

    def resolve(target: Target, *_: Any, wait: float, on_status: Any, fresh: bool) -> Any:
        assert on_status is output.status
        assert fresh
        host = target.host
        seen.append((host, wait))
        if host == "sm-late":
            raise SmProxyError("wait-timeout", "still Pending", "Wait longer.")
        if "stopped" in host:
            raise SmProxyError("space-stopped", "it does not run", f"sm-proxy start {host}")
        if host.endswith(".space"):
            return SPACE
        return container(host=host, user="ubuntu" if "ubuntu" in host else "root")

    monkeypatch.setattr(resolver, "resolve", resolve)
    monkeypatch.setattr(trial, "no_session_left_open", contextlib.nullcontext)
    monkeypatch.setattr(trial, "refuse_unless_answering", lambda found, *_: tried.append(found))
    return seen


SPACE = space()
tried: list[Container] = []
"""The containers that were tried."""


def test_ready_is_printed(
    asked: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["wait", "sm-my-job"]) == 0
    assert asked == [("sm-my-job", 900)]
    assert tried.pop() == container()
    line = "ready: sm-my-job is my-job algo-1 at 10.0.1.5 port 2222 (Training)\n"
    assert capsys.readouterr() == (line, "")


def test_another_user_is_named(
    asked: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["wait", "sm-ubuntu"]) == 0
    assert capsys.readouterr().out.endswith("(Training); log in as ubuntu@sm-ubuntu\n")


def test_a_space_has_the_user_that_the_ssh_config_names(
    asked: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["wait", "sm-My-Space.space"]) == 0
    assert tried.pop() == SPACE
    line = f"ready: {SPACE.host} is My-Space d-abc at {SPACE.session_target} port 22 (InService)\n"
    assert capsys.readouterr() == (line, "")


def test_a_stopped_space_is_not_waited_for(
    asked: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["wait", "sm-stopped.space"]) == 1
    line = "sm-proxy: space-stopped: it does not run. sm-proxy start sm-stopped.space\n"
    assert capsys.readouterr() == ("", line)
    assert len(asked) == 1


def test_a_job_is_not_ready_if_ssh_would_be_refused(
    asked: list[tuple[str, float]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise SmProxyError("host-key-unknown", "its log names none", "Trust it.")

    monkeypatch.setattr(trial, "refuse_unless_answering", refuse)
    assert cli.main(["wait", "sm-my-job"]) == 1
    line = "sm-proxy: host-key-unknown: its log names none. Trust it.\n"
    assert capsys.readouterr() == ("", line)


def test_the_json_is_that_of_resolve(
    asked: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["wait", "sm-my-job", "--timeout", "0", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["data"]["address"]) == ("wait", "10.0.1.5")
    assert asked == [("sm-my-job", 0)]


def test_a_wait_that_is_too_short_fails(
    asked: list[tuple[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["wait", "sm-late", "--timeout", "5"]) == 1
    assert capsys.readouterr() == ("", "sm-proxy: wait-timeout: still Pending. Wait longer.\n")
    assert asked == [("sm-late", 5)]


@pytest.mark.parametrize("seconds", ["-1", "soon", "1.5", "99999999"])
def test_a_bad_timeout_is_a_usage_error(seconds: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["wait", "sm-x", "--timeout", seconds])
    assert caught.value.code == 2
