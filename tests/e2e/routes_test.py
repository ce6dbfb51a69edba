"""Every route with the real ssh, and the route that is taken in each network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.labs import Lab
from tests.e2e.roads import ROADS, TOOLS
from tests.soak import cases

pytestmark = pytest.mark.e2e

_ALL = [(route, tool) for route in ROADS for tool in TOOLS]
# VS Code is the most demanding one; each of the others is tried over one route.
_PART = [(route, "vs_code") for route in ROADS] + list(
    zip(["bastion-ssh", "remote-debug", "direct", "bastion-ssh"], [*TOOLS][1:], strict=True)
)


@pytest.fixture(autouse=True)
def namespaces_only(lab: Lab) -> None:
    """Without network namespaces there is one network only."""
    if not lab.netns:
        pytest.skip("needs root")


@pytest.mark.parametrize("route", ROADS)
def test_each_route_carries_what_users_do(lab: Lab, route: str, tmp_path: Path) -> None:
    tools = [tool for name, tool in cases(_ALL, _PART) if name == route]
    with ROADS[route](lab) as road:
        before = len(road.through())
        inside = road.ssh(road.host, "mktemp -d").decode().strip()
        for tool in tools:
            (folder := tmp_path / tool).mkdir()
            TOOLS[tool](road, folder, inside)
        taken = road.through()[before:]
    assert set(taken) == {route}, taken
