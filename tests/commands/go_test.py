"""The output of `go` and `done` for each node, reached or not."""

from __future__ import annotations

import json

import pytest

from sm_proxy import cli
from sm_proxy.commands import go
from sm_proxy.errors import SmProxyError
from sm_proxy.remote.release import NodeOutcome


@pytest.fixture
def one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        NodeOutcome("algo-1", "wait"),
        NodeOutcome("algo-2", error=SmProxyError("network", "no way", "Fix it.")),
    ]
    monkeypatch.setattr(go, "release_nodes", lambda *_: ("my-job", nodes))


@pytest.mark.usefixtures("one_fails")
def test_the_error_of_a_node_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["go", "sm-my-job"]) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "algo-1  its program starts now",
        "algo-2  network: no way. Fix it.",
    ]
    assert shown.err == "sm-proxy: network: no way. Fix it.\n"


@pytest.mark.usefixtures("one_fails")
def test_the_json_has_every_node_and_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["done", "sm-my-job", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["error"]["code"]) == (False, "network")
    assert [node["told"] for node in found["data"]["nodes"]] == [True, False]


@pytest.mark.parametrize("word", ["go", "done"])
def test_a_node_that_has_ended_is_no_failure(
    word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [NodeOutcome("algo-1", "keep"), NodeOutcome("algo-2", "ended")]
    monkeypatch.setattr(go, "release_nodes", lambda *_: ("my-job", nodes))
    assert cli.main([word, "sm-my-job", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["data"]["nodes"]
    assert [(node["told"], node["error"]) for node in found] == [(True, None), (False, None)]
    assert cli.main([word, "sm-my-job"]) == 0
    assert "ended already" in capsys.readouterr().out.splitlines()[1]


@pytest.mark.parametrize("word", ["go", "done"])
@pytest.mark.parametrize("window", ["none", "keep", "unknown"])
def test_only_a_waiting_node_is_reported_as_started(
    word: str, window: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [NodeOutcome("algo-1", window)]
    monkeypatch.setattr(go, "release_nodes", lambda *_: ("my-job", nodes))
    assert cli.main([word, "sm-my-job"]) == 0
    shown = capsys.readouterr().out.strip()
    assert ("starts now" in shown) is (word == "go" and window == "unknown")
    assert ("was not waiting" in shown) is (word == "go" and window != "unknown")
    assert ("does not say" in shown) is (window == "unknown")
