"""Every route with the real ssh, and the route that is taken in each network."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e import roads
from tests.e2e.host_key_test import restarted
from tests.e2e.labs import Lab, code_of
from tests.e2e.roads import ROADS, TOOLS, Road
from tests.soak import cases
from tests.waits import await_true

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
        road.start_over()
        inside = road.ssh(road.host, "mktemp -d").decode().strip()
        for tool in tools:
            (folder := tmp_path / tool).mkdir()
            TOOLS[tool](road, folder, inside)
        taken = road.through()
    assert set(taken) == {route}, taken


@pytest.mark.parametrize(
    ("situation", "route"),
    [
        (roads.notebook, "direct"),
        (roads.studio, "direct"),
        (roads.home, "bastion"),
        (roads.offline_bastion, "remote-debug"),
    ],
)
def test_the_best_route_of_a_network_is_taken(
    lab: Lab,
    situation: Callable[[Lab], contextlib.AbstractContextManager[Road]],
    route: str,
) -> None:
    with situation(lab) as road:
        road.start_over()
        assert road.ssh(road.host, "echo it works") == b"it works\n"
        assert road.through() == [route]
        assert road.resolve()["route"] == route


def test_a_foreign_host_at_home_gets_no_packet_if_probes_are_forbidden(lab: Lab) -> None:
    with roads.home(lab) as road:
        seen = foreign_host(road)
        quiet = replace(road, env={"SM_PROXY_PROBE": "0"})
        assert quiet.ssh(road.host, "echo it works") == b"it works\n"
        forced = replace(road, env={"SM_PROXY_PROBE": "0", "SM_PROXY_ROUTE": "direct"})
        done = forced.run("ssh", "-F", lab.config, road.host, "true")
        assert code_of(done) == "route-unusable"
        road.there.settle()
        assert seen() == []


def test_a_probe_shows_a_foreign_host_the_start_of_a_key_exchange_once(lab: Lab) -> None:
    with roads.home(lab) as road:
        seen = foreign_host(road)
        for _ in range(2):
            with road.connected():
                await_true(lambda: bool(seen()), 60, seen)
        assert_only_the_start_of_a_key_exchange(seen)
        assert road.through()[-2:] == ["bastion", "bastion"]


def test_a_foreign_host_in_a_remembered_network_gets_no_more(lab: Lab) -> None:
    """The container seems to have been reached from this network before."""
    with roads.home(lab) as road:
        seen = foreign_host(road)
        road.there.python(REMEMBER.format(host=road.host))
        done = road.run("ssh", "-F", lab.config, road.host, "echo it works")
        assert done.stdout == b"it works\n", done.stderr
        assert done.stderr.count(b"connecting by bastion instead\n") == 1
        await_true(lambda: bool(seen()), 60, seen)
        # The next connection does not try it again.
        assert road.ssh(road.host, "echo it works") == b"it works\n"
        assert_only_the_start_of_a_key_exchange(seen)


def test_a_vpn_is_used_from_the_second_connection_on_and_forgotten_when_it_fails(
    lab: Lab,
) -> None:
    with roads.vpn(lab) as road:
        learn(road)
        assert road.ssh(road.host, "echo it works") == b"it works\n"
        with roads.vpn_refused(lab):
            done = road.run("ssh", "-F", lab.config, road.host, "echo it works")
        assert done.stdout == b"it works\n", done.stderr
        assert done.stderr.count(b"connecting by bastion instead\n") == 1
        assert road.ssh(road.host, "echo it works") == b"it works\n"
        assert road.through()[-4:] == ["bastion", "direct", "bastion", "bastion"]


def test_inside_the_vpc_a_closed_security_group_is_avoided_by_the_bastion(lab: Lab) -> None:
    with roads.direct(lab) as road, roads.instance_refused(road.there):
        road.start_over()
        done = road.run("ssh", "-F", lab.config, road.host, "echo it works")
        assert done.stdout == b"it works\n", done.stderr
        assert done.stderr.count(b"connecting by bastion instead\n") == 1
        assert road.through() == ["bastion"]


def test_a_vpn_serves_where_no_other_route_can(lab: Lab) -> None:
    """Also if the container has restarted, so that the cache has an old host key."""
    job = lab.launch("vpn-only")
    key = restarted(job)  # the cache has the first one
    with roads.vpn(lab) as road, roads.no_bastion(lab):
        road.there.forget_routes()
        done = road.there.sm_proxy("doctor", lab.host)
        assert done.returncode == 0, done.stdout
        road.there.forget_routes()
        only = replace(road, host=job.host)
        only.start_over()
        job.claim(host_keys=[key])
        done = only.run("ssh", "-F", lab.config, job.host, "echo found")
        assert done.stdout == b"found\n", done.stderr
        (line,) = done.stderr.decode().splitlines()
        assert line.endswith("connecting by direct instead")
        again = only.run("ssh", "-F", lab.config, job.host, "echo again")
        assert (again.stdout, again.stderr) == (b"again\n", b""), "it is remembered"
        assert only.through() == ["direct"] * 2


def test_a_foreign_host_gets_one_probe_where_no_route_can_serve(lab: Lab) -> None:
    with roads.home(lab) as road, roads.no_bastion(lab):
        seen = foreign_host(road)
        for _ in range(2):
            done = road.run("ssh", "-F", lab.config, road.host, "true")
            assert (done.returncode, code_of(done)) == (255, "no-bastion")
        assert_only_the_start_of_a_key_exchange(seen)


def learn(road: Road) -> None:
    """Connect until a probe has found the container. On a busy machine one may come too late."""
    known = Path(road.there.environment["SM_PROXY_CACHE_DIR"]) / "routes"
    for _ in range(10):
        with road.connected():
            pass
        road.there.settle()
        if known.exists():
            return
        road.there.forget_routes()
    pytest.fail("no probe has found the container")


def assert_only_the_start_of_a_key_exchange(seen: Callable[[], list[bytes]]) -> None:
    (received,) = seen()
    line, _, rest = received.partition(b"\r\n")
    assert line.startswith(b"SSH-2.0-")
    # SSH_MSG_KEXINIT and SSH_MSG_KEX_ECDH_INIT; less if the host is too slow.
    assert packets(rest) == [20, 30][: len(packets(rest))]


REMEMBER = """
from sm_proxy import resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.jobs import hostname
from sm_proxy.routes import memory
from sm_proxy.settings import Settings
aws = Aws(None, None)
found = resolver.resolve(hostname.parse("{host}", "sm-"), Settings(), aws)
memory.remember(found, aws, "direct")
"""


def foreign_host(road: Road) -> Callable[[], list[bytes]]:
    """What the foreign host has received since now, by connection."""
    path = road.there.python("import os; answer = os.environ['SM_PROXY_LAB_HOME_SEEN']")

    resolved = road.resolve()
    # It starts its sshd. From now on it answers at once.
    road.run("ssh-keyscan", "-T", "60", "-p", str(resolved["port"]), str(resolved["address"]))
    road.there.forget_routes()
    now = time.time()

    def seen() -> list[bytes]:
        lines = map(json.loads, Path(path).read_text().splitlines())
        return [bytes.fromhex(line["received"]) for line in lines if line["began"] > now]

    return seen


def packets(rest: bytes) -> list[int]:
    """The types of SSH packets that are not encrypted (RFC 4253, section 6)."""
    types = []
    while rest:
        length = int.from_bytes(rest[:4], "big")
        assert len(rest) >= 4 + length
        types.append(rest[5])
        rest = rest[4 + length :]
    return types
