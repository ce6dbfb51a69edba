from __future__ import annotations

import pkgutil

import pytest

from sm_proxy.doctor import checks, routes
from sm_proxy.doctor.check import Context
from sm_proxy.settings import Settings
from sm_proxy.settings.route_names import ROUTE_NAMES
from tests.fakes import FakeAws

LAPTOP = ["python", "package", "ssh", "permissions", "key", "ssh-config", "program", "region"]
OF_THE_BASTION = ["bastion", "endpoints", "endpoint-groups", "agent"]


def ids(host: str | None) -> list[str]:
    stages = checks.stages(Context(Settings(), host, FakeAws()))
    return [name for stage in stages for name, _ in stage]


def without_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "ROUTE_NAMES", ())


def test_a_host_is_examined_from_the_laptop_to_the_end_of_its_session() -> None:
    found = ids("sm-x")
    assert found[: found.index("endpoint")] == ["name", *LAPTOP]
    assert found[found.index("job") :] == [
        *("job", "logs:DescribeLogStreams", "logs:GetLogEvents", "vpc", "bastion", "marker"),
        *("endpoints", "endpoint-groups", "agent", "security-groups", "network-acls"),
        *("remote-debug", "remote-debug-role", "user"),
        *("expected-key", "tunnel", "banner", "host-key", "login", "shell"),
        *("ssm:ResumeSession", "ssm:TerminateSession", "config-marks"),
    ]


def test_without_a_host_the_bastion_is_examined_too() -> None:
    found = ids(None)
    assert found[: found.index("endpoint")] == LAPTOP
    assert found[-5:] == [*OF_THE_BASTION, "config-marks"]


@pytest.mark.parametrize("host", ["sm-x", None])
def test_only_checks_of_routes_in_the_table_run(
    host: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = ids(host)
    without_routes(monkeypatch)
    left = [*OF_THE_BASTION, "security-groups", "network-acls"]
    left += ["remote-debug", "remote-debug-role"]
    assert ids(host) == [name for name in every if name not in left]


def test_a_route_without_checks_adds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids("sm-x")
    monkeypatch.setattr(routes, "ROUTE_NAMES", (*ROUTE_NAMES, "no-where"))
    assert ids("sm-x") == before


def test_every_module_of_checks_belongs_to_a_route() -> None:
    modules = {module.name for module in pkgutil.iter_modules(routes.__path__)}
    assert modules <= {name.replace("-", "_") for name in ROUTE_NAMES}
