from __future__ import annotations

import time
from typing import Any

import pytest

from sm_proxy.local import network_place
from sm_proxy.routes import memory
from sm_proxy.state.cache import Cache
from tests.fakes import FakeAws, container

HERE = container()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The networks that this machine is in, one after the other; the last one stays."""
    found = ["home"]
    take = lambda: found.pop(0) if len(found) > 1 else found[0]  # noqa: E731
    monkeypatch.setattr(network_place, "fingerprint", take)
    return found


@pytest.mark.usefixtures("network")
def test_a_remembered_route_is_recalled_until_it_is_forgotten() -> None:
    aws = FakeAws()
    assert memory.recall(HERE, aws) is None
    memory.remember(HERE, aws, "remote-debug")
    assert memory.recall(HERE, aws) == "remote-debug"
    memory.remember(HERE, aws, "direct", memory.PROBED_S)
    assert memory.recall(HERE, aws) == "direct"
    memory.forget(HERE, aws)
    assert memory.recall(HERE, aws) is None


def test_each_network_has_its_own_route(network: list[str]) -> None:
    aws = FakeAws()
    memory.remember(HERE, aws, "direct")
    network[:] = ["office"]
    assert memory.recall(HERE, aws) is None
    memory.remember(HERE, aws, "bastion-ssh")
    network[:] = ["home", "office"]
    assert [memory.recall(HERE, aws) for _ in range(2)] == ["direct", "bastion-ssh"]
    memory.forget(HERE, aws)
    network[:] = ["home"]
    assert memory.recall(HERE, aws) == "direct"


@pytest.mark.usefixtures("network")
def test_containers_of_a_vpc_share_a_route_and_jobs_without_one_do_not() -> None:
    aws = FakeAws()
    memory.remember(HERE, aws, "direct")
    assert memory.recall(container(job="other"), aws) == "direct"
    assert memory.recall(container(vpc_id="vpc-2"), aws) is None
    alone = container(vpc_id=None, address=None)
    memory.remember(alone, aws, "remote-debug")
    assert memory.recall(alone, aws) == "remote-debug"
    assert memory.recall(container(vpc_id=None, address=None, job="other"), aws) is None


@pytest.mark.usefixtures("network")
def test_a_route_is_forgotten_when_its_time_is_over() -> None:
    aws = FakeAws()
    memory.remember(HERE, aws, "direct", 0.001)
    time.sleep(0.002)
    assert memory.recall(HERE, aws) is None


def test_without_a_record_the_network_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked() -> str:
        raise AssertionError

    monkeypatch.setattr(network_place, "fingerprint", looked)
    aws = FakeAws()
    assert memory.recall(HERE, aws) is None
    memory.forget(HERE, aws)


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    "entry",
    [None, "direct", [], {}, {"route": 1, "until": 1e11}, {"route": "direct", "until": "late"}],
)
def test_a_damaged_entry_is_ignored(entry: Any) -> None:
    aws = FakeAws()
    key = (aws.scope, "vpc-1")
    Cache("routes").save(*key, record={"home": entry}, expires=time.time() + 60)
    assert memory.recall(HERE, aws) is None
    memory.remember(HERE, aws, "direct")
    assert memory.recall(HERE, aws) == "direct"


@pytest.mark.usefixtures("network")
def test_the_remembered_route_comes_before_those_that_failed_and_no_others() -> None:
    aws, names = FakeAws(), ["a", "b", "c", "d"]
    assert memory.order(HERE, aws, names) == names
    memory.remember(HERE, aws, "d", instead_of=["b"])
    assert memory.order(HERE, aws, names) == ["a", "d", "b", "c"]
    memory.remember(HERE, aws, "d", instead_of=["a"])
    assert memory.order(HERE, aws, names) == ["d", "a", "b", "c"]
    memory.remember(HERE, aws, "c", instead_of=["b"])
    assert memory.order(HERE, aws, names) == ["a", "c", "b", "d"]
    memory.remember(HERE, aws, "a", instead_of=["b"])
    assert memory.order(HERE, aws, names) == names
    memory.remember(HERE, aws, "gone", instead_of=["a"])
    assert memory.order(HERE, aws, names) == names


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("failed", [None, "a", 7, [None, {}], {"a": 1}])
def test_damaged_names_of_failed_routes_are_ignored(failed: Any) -> None:
    aws = FakeAws()
    entry = {"route": "b", "until": time.time() + 60, "instead_of": failed}
    Cache("routes").save(aws.scope, "vpc-1", record={"home": entry}, expires=time.time() + 60)
    assert memory.order(HERE, aws, ["a", "b"]) == ["a", "b"]
    memory.remember(HERE, aws, "b", instead_of=["a"])
    assert memory.order(HERE, aws, ["a", "b"]) == ["b", "a"]


def test_only_the_latest_networks_are_kept(network: list[str]) -> None:
    aws = FakeAws()
    for number in range(20):
        network[:] = [f"network {number}"]
        memory.remember(HERE, aws, "direct", 1000 + number)
    assert memory.recall(HERE, aws) == "direct"
    network[:] = ["network 3"]
    assert memory.recall(HERE, aws) is None
