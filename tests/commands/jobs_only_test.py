"""Commands that are for jobs refuse spaces and nodes of clusters in one line, without a call."""

from __future__ import annotations

import pytest

from sm_proxy import cli
from sm_proxy.aws.clients import Aws
from sm_proxy.commands import logs
from tests.jobs.cluster_account import ClusterAws

SPACE, NODE = "sm-My-Space.space", "sm-c.workers.1.hyperpod"


@pytest.fixture(autouse=True)
def _no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*_: object, **__: object) -> None:
        raise AssertionError("no call was needed")

    monkeypatch.setattr(Aws, "call", call)


@pytest.mark.parametrize("host", [SPACE, "sm-x.d-abc.space", NODE, "sm-c.hyperpod"])
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["bootstrap"], "has an SSH server of its own"),
        (["enable-remote-debug"], "needs no RemoteDebug"),
        (["relaunch"], "cannot be relaunched"),
        (["go"], "has no program that waits"),
        (["done"], "has no program that waits"),
    ],
)
def test_commands_for_jobs_refuse_other_kinds(
    capsys: pytest.CaptureFixture[str], words: list[str], why: str, host: str
) -> None:
    assert cli.main([*words, host]) == 1
    out, err = capsys.readouterr()
    noun = "Studio space" if host.endswith(".space") else "HyperPod cluster"
    assert out == ""
    assert f"unsupported: {host} is not a job: a {noun} {why}" in err
    assert f"sm-proxy doctor {host}" in err


@pytest.mark.parametrize("command", ["relaunch", "enable-remote-debug"])
def test_a_name_without_the_prefix_is_refused_too(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert cli.main([command, "My-Space.space"]) == 1
    assert "unsupported: sm-My-Space.space is not a job" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[NODE], ["sm-c.*.hyperpod"], ["-f", NODE]])
def test_nodes_of_clusters_have_no_log_of_a_program(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(logs, "Aws", lambda *_: ClusterAws())
    assert cli.main(["logs", *words]) == 1
    assert "unsupported: HyperPod cluster c has no log of a program" in capsys.readouterr().err
