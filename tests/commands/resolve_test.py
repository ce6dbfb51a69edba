from __future__ import annotations

import json

import pytest

from sm_proxy import cli
from sm_proxy.commands import resolve
from sm_proxy.settings.durations import LONGEST_WAIT_S
from sm_proxy.settings.route_names import routes_of
from tests.fakes import working
from tests.routes.helpers import agents, instances


def test_resolve_waits_only_with_the_option(
    waits: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_PROXY_WAIT", "60")
    answers = working(DescribeInstances=instances())
    monkeypatch.setattr(resolve, "Aws", lambda *_: answers)
    assert cli.main(["resolve", "sm-my-job"]) == 0
    for given in ("0", "5", str(LONGEST_WAIT_S), "10m"):
        assert cli.main(["resolve", "sm-my-job", "--wait", given, "--json"]) == 0
    assert waits == [0, 0, 5, LONGEST_WAIT_S, 600]
    out = capsys.readouterr().out.splitlines()
    assert json.loads(out[-1])["data"]["port"] == 2222


def test_resolve_prints_the_container_and_its_routes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = instances(("i-1", "stopped"))
    monkeypatch.setattr(resolve, "Aws", lambda *_: working(DescribeInstances=stopped))
    assert cli.main(["resolve", "sm-my-job"]) == 0
    out = capsys.readouterr().out.splitlines()
    lines = dict(line.split(maxsplit=1) for line in out)
    assert lines["address"] == "10.0.1.5"
    assert lines["host_keys"].startswith("ssh-ed25519 ")
    assert lines["route"] == "none works"
    assert lines["bastion"].startswith("not usable: no running instance in vpc-1 has the tag")
    assert cli.main(["resolve", "sm-my-job", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert set(data) == {
        *("job", "kind", "node", "address", "port", "user", "host_keys", "status", "source"),
        *("vpc_id", "cached", "route", "routes"),
    }
    assert data["route"] is None
    assert [item["name"] for item in data["routes"]] == list(routes_of("training"))
    assert all(set(item) == {"name", "usable", "reason"} for item in data["routes"])


def test_resolve_says_that_a_forced_route_cannot_serve(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resolve, "Aws", lambda *_: working(DescribeInstances=instances()))
    assert cli.main(["resolve", "sm-my-job", "--route", "remote-debug"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["route"] == "none: you asked for remote-debug, which does not work"


def test_resolve_sends_nothing_to_the_container(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    aws = working(
        DescribeInstances=instances(("i-1", "running")),
        DescribeInstanceInformation=agents(("i-1", "Online", "3.3.0.0")),
    )
    monkeypatch.setattr(resolve, "Aws", lambda *_: aws)
    assert cli.main(["resolve", "sm-my-job", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["route"] == "bastion"
    assert "StartSession" not in aws.operations()
