"""The proof of being inside the VPC, as doctor shows it, and the checks from there."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.doctor import place, security_groups
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.local import network_place
from sm_proxy.routes import inside_vpc
from sm_proxy.routes.inside_vpc import Finding, Place
from sm_proxy.settings import Settings
from tests.fakes import Answers, FakeAws, container

INTERFACE = {
    "NetworkInterfaceId": "eni-1",
    "SubnetId": "subnet-9",
    "Groups": [{"GroupId": "sg-9", "GroupName": "mine"}],
}
DENIED = SmProxyError("access-denied", "no", "ask")


def context(*, host: bool = True, found: Answers | None = None) -> Context:
    answer = {"NetworkInterfaces": [INTERFACE]} if found is None else found
    examined = Context(Settings(), "sm-x", FakeAws(DescribeNetworkInterfaces=answer))
    examined.container = container() if host else None
    examined.route = "direct"
    return examined


@pytest.fixture(autouse=True)
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_place, "source_address", lambda _: "10.0.9.7")


def proven(monkeypatch: pytest.MonkeyPatch, *, inside: bool) -> list[dict[str, Any]]:
    """How it was asked."""
    asked: list[dict[str, Any]] = []

    def prove(*_: Any, **options: Any) -> Place:
        asked.append(options)
        return Place(inside, "as the test says")

    monkeypatch.setattr(inside_vpc, "prove", prove)
    return asked


def test_the_proof_is_asked_for_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = proven(monkeypatch, inside=True)
    examined = context()
    assert place.inside(examined) == "as the test says"
    assert asked == [{"fresh": True}]
    assert examined.hop == {
        "InstanceId": "eni-1",
        "PrivateIpAddress": "10.0.9.7",
        "SubnetId": "subnet-9",
        "SecurityGroups": INTERFACE["Groups"],
    }


def test_without_proof_the_check_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    proven(monkeypatch, inside=False)
    with pytest.raises(SkipCheck, match="no proof that this machine is in vpc-1: as the test says"):
        place.inside(context())


@pytest.mark.parametrize("found", [DENIED, {"NetworkInterfaces": []}])
def test_without_its_interface_the_way_cannot_be_checked(
    monkeypatch: pytest.MonkeyPatch, found: Answers
) -> None:
    proven(monkeypatch, inside=True)
    examined = context(found=found)
    assert place.inside(examined) == "as the test says"
    with pytest.raises(SkipCheck, match="this machine's interface is not known"):
        security_groups.path(examined)


def test_without_a_job_any_vpc_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Finding(frozenset({"vpc-7"}), "instance metadata")
    monkeypatch.setattr(inside_vpc, "own_vpcs", lambda _: found)
    examined = context(host=False)
    assert place.inside(examined) == "this machine is in vpc-7 (instance metadata)"
    assert examined.hop is not None, "no bastion is needed"


def test_a_laptop_is_in_no_vpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside_vpc, "own_vpcs", lambda _: None)
    examined = context(host=False)
    assert "in no VPC" in place.inside(examined)
    assert examined.hop is None
