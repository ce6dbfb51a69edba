"""The direct route: by proof, or by a probe from the same network that saw the right host key."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import network_place
from sm_proxy.routes import direct, inside_vpc, memory, table
from sm_proxy.routes.inside_vpc import Place
from sm_proxy.routes.verdict import NO_ADDRESS, Verdict
from sm_proxy.settings import Settings
from sm_proxy.tunnel import host_key_probe
from tests.fakes import ECDSA_KEY, HOST_KEY, FakeAws, blob_of, container

SETTINGS = Settings()
OUTSIDE = Place(inside=False, reason="this machine is elsewhere")
INSIDE = Place(inside=True, reason="this machine is in vpc-1 (instance metadata)")


class Probes:
    """Host keys by address; counts who is asked."""

    def __init__(self) -> None:
        self.blob: bytes | None = None
        self.asked: list[tuple[Any, ...]] = []

    def __call__(self, *asked: Any) -> bytes | None:
        self.asked.append(asked)
        return self.blob


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> Probes:
    """No packet leaves this machine; the network stays the same."""
    found = Probes()
    monkeypatch.setattr(host_key_probe, "read_host_key", found)
    monkeypatch.setattr(inside_vpc, "prove", lambda *_: OUTSIDE)
    monkeypatch.setattr(network_place, "source_address", lambda _: "192.168.1.7")
    monkeypatch.setattr(network_place, "fingerprint", lambda: "home")
    return found


@pytest.fixture
def inside(probes: Probes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside_vpc, "prove", lambda *_: INSIDE)


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server at 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def settled(stream: Any) -> Any:
    """The stream once it is open or has failed."""
    until = time.monotonic() + 60
    while not stream.opened and not stream.ended and time.monotonic() < until:
        stream.advance(time.monotonic(), readable=False)
        time.sleep(0.001)
    return stream


def verdict(settings: Settings = SETTINGS, **changes: Any) -> tuple[bool, str]:
    found = direct.verdict(container(**changes), settings, FakeAws())
    assert found.error is None
    return found.usable, found.reason


@pytest.mark.usefixtures("inside")
def test_inside_the_vpc_it_can_serve() -> None:
    assert verdict() == (True, INSIDE.reason)


@pytest.mark.usefixtures("probes")
def test_elsewhere_it_cannot_and_says_why() -> None:
    assert verdict() == (False, OUTSIDE.reason)


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("changes", [{"address": None}, {"vpc_id": None}])
def test_a_container_without_an_address_cannot_be_dialled(changes: dict[str, Any]) -> None:
    assert verdict(**changes) == (False, NO_ADDRESS.reason)


@pytest.mark.usefixtures("inside")
def test_the_container_is_dialled_without_a_probe(probes: Probes, port: int) -> None:
    stream = direct.connect(container(address="127.0.0.1", port=port), SETTINGS, FakeAws())
    assert settled(stream).opened
    assert (stream.failure, probes.asked) == (None, [])
    stream.close()


@pytest.mark.usefixtures("inside")
def test_a_port_that_the_container_refuses_leads_to_no_other_route() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    stream = settled(
        direct.connect(container(address="127.0.0.1", port=closed), SETTINGS, FakeAws())
    )
    assert isinstance(stream.failure, SmProxyError)
    assert (stream.failure.code, stream.failure.mendable) == ("connect-refused", False)
    assert stream.failure.hint
    assert f"127.0.0.1 port {closed} refuses" in stream.failure.message
    stream.close()


@pytest.mark.usefixtures("inside")
def test_an_address_that_does_not_answer_may_be_reached_by_another_route(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(direct, "_DIAL_S", 0.1)
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as server,
        socket.create_connection(server.getsockname()),
    ):
        where = {"address": "127.0.0.1", "port": server.getsockname()[1]}
        stream = settled(direct.connect(container(**where), SETTINGS, FakeAws()))
        assert isinstance(stream.failure, SmProxyError)
        assert (stream.failure.code, stream.failure.mendable) == ("connect-refused", True)
        assert "nothing answers" in stream.failure.message
        stream.close()


def test_a_probe_that_sees_the_containers_key_makes_the_next_connection_direct(
    probes: Probes,
) -> None:
    probes.blob = blob_of(HOST_KEY)
    direct.learn(container(), SETTINGS, FakeAws())
    assert probes.asked == [("10.0.1.5", 2222, ["ssh-ed25519"], direct._PROBE_S)]
    usable, reason = verdict()
    assert usable
    assert "host key was read from this network" in reason


def test_a_discovered_route_counts_for_the_whole_vpc_in_this_network_only(
    probes: Probes, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes.blob = blob_of(HOST_KEY)
    direct.learn(container(), SETTINGS, FakeAws())
    assert verdict(job="other", address="10.0.1.9")[0]
    assert not verdict(vpc_id="vpc-2")[0]
    assert not verdict(Settings(probe=False))[0]
    monkeypatch.setattr(network_place, "fingerprint", lambda: "cafe")
    assert not verdict()[0]


@pytest.mark.parametrize("blob", [None, blob_of(ECDSA_KEY)])
def test_a_probe_that_fails_is_not_repeated_in_this_network_for_an_hour(
    probes: Probes, monkeypatch: pytest.MonkeyPatch, blob: bytes | None
) -> None:
    probes.blob = blob
    for _ in range(3):
        direct.learn(container(), SETTINGS, FakeAws())
    assert len(probes.asked) == 1
    assert not verdict()[0]
    monkeypatch.setattr(network_place, "fingerprint", lambda: "cafe")
    direct.learn(container(), SETTINGS, FakeAws())
    assert len(probes.asked) == 2


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({"address": None}, SETTINGS),
        ({"vpc_id": None}, SETTINGS),
        ({"host_keys": ()}, SETTINGS),
        ({"address": "127.0.0.1"}, SETTINGS),
        ({}, Settings(probe=False)),
    ],
)
def test_nothing_is_probed_in_vain(
    probes: Probes, changes: dict[str, Any], settings: Settings
) -> None:
    direct.learn(container(**changes), settings, FakeAws())
    assert probes.asked == []


def test_nothing_is_probed_without_a_route(probes: Probes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_place, "source_address", lambda _: None)
    direct.learn(container(), SETTINGS, FakeAws())
    assert probes.asked == []


def discovered(settings: Settings = SETTINGS, **changes: Any) -> Any:
    return direct.discover(container(**changes), settings, FakeAws())


def test_a_container_that_is_discovered_is_dialled_and_remembered(
    probes: Probes, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One probe is enough, and its key is checked once more before ssh gets the connection."""
    monkeypatch.setattr(direct, "_may_probe", lambda *_: True)
    probes.blob = blob_of(HOST_KEY)
    stream = discovered(address="127.0.0.1", port=port)
    assert settled(stream).opened
    assert (stream.host_key, stream.through, len(probes.asked)) == (probes.blob, "direct", 1)
    assert verdict()[0]
    stream.close()


def test_a_foreign_host_is_not_discovered_and_not_asked_again(probes: Probes) -> None:
    probes.blob = blob_of(ECDSA_KEY)
    for _ in range(3):
        assert discovered() is None
        direct.learn(container(), SETTINGS, FakeAws())
    assert len(probes.asked) == 1
    assert not verdict()[0]
    probes.blob = b"another one"
    discovered(address="10.0.1.6")
    discovered(host_keys=(ECDSA_KEY,))
    assert len(probes.asked) == 3, "the container has restarted"


def test_a_container_that_did_not_answer_is_looked_for_again(probes: Probes) -> None:
    for _ in range(3):
        assert discovered() is None
    assert len(probes.asked) == 3


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({"host_keys": ()}, SETTINGS),
        ({"address": "127.0.0.1"}, SETTINGS),
        ({}, Settings(probe=False)),
    ],
)
def test_nothing_is_discovered_in_vain(
    probes: Probes, changes: dict[str, Any], settings: Settings
) -> None:
    assert discovered(settings, **changes) is None
    assert probes.asked == []


def remembered() -> None:
    memory.remember(container(), FakeAws(), "direct", 3600)


def test_without_proof_the_key_is_read_again_before_each_connection(
    probes: Probes, port: int
) -> None:
    where = {"address": "127.0.0.1", "port": port}
    remembered()
    probes.blob = blob_of(HOST_KEY)
    stream = direct.connect(container(**where), SETTINGS, FakeAws())
    assert settled(stream).opened
    assert len(probes.asked) == 1
    stream.close()


@pytest.mark.parametrize("blob", [None, blob_of(ECDSA_KEY)])
def test_another_host_at_the_address_gets_no_connection_and_another_route_is_taken(
    probes: Probes, monkeypatch: pytest.MonkeyPatch, capsys: Any, blob: bytes | None
) -> None:
    remembered()
    probes.blob = blob
    other: Any = type(
        "Other",
        (),
        {
            "DIALS_FROM": "elsewhere",
            "MENDABLE": frozenset(),
            "verdict": staticmethod(lambda *_: Verdict(usable=True, reason="here")),
            "connect": staticmethod(lambda *_: "the other stream"),
        },
    )
    real: Callable[[str], Any] = table.route
    monkeypatch.setattr(table, "route", lambda name: real(name) if name == "direct" else other)
    monkeypatch.setattr(table._Attempts, "connect", table._Attempts.connect_next)
    assert table.connect(container(), SETTINGS, FakeAws()) == "the other stream"  # type: ignore[comparison-overlap]
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "no longer answers at 10.0.1.5 port 2222 from this network" in said
    assert memory.recall(container(), FakeAws()) is None
    direct.learn(container(), SETTINGS, FakeAws())
    assert len(probes.asked) == 1, "it was probed this hour"


def test_asking_costs_next_to_nothing_outside_of_aws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(inside_vpc, "_DMI", str(tmp_path / "none"))
    monkeypatch.setattr(inside_vpc, "_XEN", str(tmp_path / "none"))
    monkeypatch.setattr(network_place, "fingerprint", lambda: pytest.fail("needs a millisecond"))
    monkeypatch.setattr(network_place, "source_address", lambda _: "192.168.1.7")
    aws = FakeAws()
    assert not direct.verdict(container(), SETTINGS, aws).usable
    assert (aws.calls, list(tmp_path.glob("cache/*"))) == ([], [])
