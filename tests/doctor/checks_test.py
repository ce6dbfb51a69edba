from __future__ import annotations

import pkgutil
from typing import Any

import pytest

from sm_proxy.doctor import checks, routes
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.routes import table
from sm_proxy.routes.table import Choice
from sm_proxy.routes.verdict import Verdict
from sm_proxy.settings import Settings
from sm_proxy.settings.route_names import ROUTE_NAMES
from tests.fakes import FakeAws, container

LAPTOP = ["python", "package", "ssh", "permissions", "key", "ssh-config", "program", "region"]
OF_THE_BASTION = ["bastion", "endpoints", "endpoint-groups", "agent"]


def context(host: str | None = "sm-x", **settings: Any) -> Context:
    return Context(Settings(**settings), host, FakeAws())


def ids(examined: Context) -> list[str]:
    return [name for stage in checks.stages(examined) for name, _ in stage]


def test_a_host_is_examined_from_the_laptop_to_the_end_of_its_session() -> None:
    examined = context()
    examined.route = "bastion"
    found = ids(examined)
    assert found[: found.index("endpoint")] == ["name", *LAPTOP]
    assert found[found.index("job") :] == [
        "job",
        *("sagemaker:ListTrainingJobs", "ec2:DescribeSubnets", "ec2:DescribeInstances"),
        *("ssm:DescribeInstanceInformation", "logs:DescribeLogStreams", "logs:GetLogEvents"),
        *("vpc", "marker", "route"),
        *("bastion", "endpoints", "endpoint-groups", "agent"),
        *("security-groups", "network-acls", "user", "expected-key", "tunnel", "banner"),
        *("host-key", "login", "shell", "ssm:ResumeSession", "ssm:TerminateSession"),
        *("config-marks", "startup-file", "daemon"),
    ]


def test_only_the_checks_of_the_chosen_route_run() -> None:
    examined = context()
    found: list[str] = []
    for stage in checks.stages(examined):
        found += [name for name, _ in stage]
        if "route" in found:
            examined.route = "remote-debug"
    assert "remote-debug" in found
    assert not {*OF_THE_BASTION, "security-groups", "network-acls"} & set(found)


def test_no_route_is_examined_before_one_is_chosen() -> None:
    assert not {*OF_THE_BASTION, "remote-debug"} & set(ids(context()))


def test_without_a_host_the_routes_are_examined_up_to_one_that_can_serve() -> None:
    examined = context(None)
    found: list[str] = []
    for stage in checks.stages(examined):
        found += [name for name, _ in stage]
        if "bastion" in found:
            examined.hop = {"InstanceId": "i-1"}
    assert found[: found.index("endpoint")] == LAPTOP
    assert found[-7:] == [*OF_THE_BASTION, "config-marks", "startup-file", "daemon"]


def test_without_a_host_only_a_forced_route_is_examined() -> None:
    assert not set(OF_THE_BASTION) & set(ids(context(None, route="remote-debug")))
    assert set(OF_THE_BASTION) <= set(ids(context(None, route="bastion")))


def test_without_a_host_no_space_and_no_cluster_is_asked_for() -> None:
    assert not {"botocore", "node-sshd", "server"} & set(ids(context(None)))


def test_a_route_without_checks_adds_no_checks() -> None:
    examined = context()
    before = ids(examined)
    examined.route = "no-where"
    assert ids(examined) == before


def test_every_module_of_checks_belongs_to_a_route() -> None:
    modules = {module.name for module in pkgutil.iter_modules(routes.__path__)}
    assert modules <= {name.replace("-", "_") for name in ROUTE_NAMES}


def judged(monkeypatch: pytest.MonkeyPatch, chosen: str | None, **verdicts: Verdict) -> Context:
    examined = context()
    examined.container = container()
    choice = Choice(chosen, {name.replace("_", "-"): item for name, item in verdicts.items()})
    monkeypatch.setattr(table, "judge", lambda *_: choice)
    return examined


UNMADE = Verdict(usable=False, reason="this machine is elsewhere")
STOPPED = Verdict.refused(SmProxyError("no-bastion", "it is stopped"))
ON = Verdict(usable=True, reason="it is on")


def test_the_chosen_route_is_shown_with_the_problems_of_better_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examined = judged(monkeypatch, "remote-debug", direct=UNMADE, bastion=STOPPED, remote_debug=ON)
    assert routes.choose(examined) == "remote-debug: it is on (bastion: it is stopped)"
    assert examined.route == "remote-debug"
    examined = judged(monkeypatch, "bastion", direct=UNMADE, bastion=ON, remote_debug=STOPPED)
    assert routes.choose(examined) == "bastion: it is on"


def test_without_a_usable_route_the_first_one_with_a_problem_is_examined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examined = judged(monkeypatch, None, direct=UNMADE, bastion=STOPPED)
    shown = "direct: this machine is elsewhere; bastion: it is stopped"
    with pytest.raises(SkipCheck, match=shown):
        routes.choose(examined)
    assert examined.route == "bastion"


def test_a_forced_route_that_cannot_serve_is_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    examined = judged(monkeypatch, None, direct=UNMADE, bastion=ON)
    examined.settings = Settings(route="direct")
    shown = "^you asked for a route that does not work here: direct: this machine is elsewhere$"
    with pytest.raises(SkipCheck, match=shown):
        routes.choose(examined)
    assert examined.route == "direct"


def test_without_a_container_no_route_is_chosen() -> None:
    with pytest.raises(SkipCheck, match="container"):
        routes.choose(context())
