"""This machine counts as inside a VPC only by proof, and asking costs nothing outside of AWS."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.aws import instance_metadata
from sm_proxy.errors import SmProxyError
from sm_proxy.local import network_place, paths
from sm_proxy.local.network_place import OwnAddress
from sm_proxy.routes import inside_vpc
from sm_proxy.routes.inside_vpc import Place
from sm_proxy.state.cache import Cache
from tests.fakes import Answers, FakeAws

ADDRESS = "10.0.1.5"
OWN = "10.0.9.7"
MAC = "02:fc:00:00:00:01"
INTERFACE = {"NetworkInterfaceId": "eni-1", "MacAddress": MAC, "VpcId": "vpc-1"}
DENIED = SmProxyError("access-denied", "no", "ask")


class Machine:
    """A machine with one interface; the tests change what it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch = monkeypatch
        self._folder = folder
        monkeypatch.setattr(inside_vpc, "_DMI", str(folder / "dmi"))
        monkeypatch.setattr(inside_vpc, "_XEN", str(folder / "xen"))
        monkeypatch.setattr(paths, "SAGEMAKER_METADATA", str(folder / "resource.json"))
        for name in inside_vpc._IN_AWS:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
        self.vpcs: frozenset[str] = frozenset()
        self.endpoints: list[str] = []
        monkeypatch.setattr(instance_metadata, "own_vpcs", self._own_vpcs)
        self.network("192.168.1.7")

    def _own_vpcs(self, endpoint: str) -> frozenset[str]:
        self.endpoints.append(endpoint)
        return self.vpcs

    def network(self, own: str | None, mac: str = MAC) -> None:
        """Packets leave from this address."""
        self._patch.setattr(network_place, "source_address", lambda _: own)
        interfaces = [OwnAddress("eth0", mac, own, 20)] if own else []
        self._patch.setattr(network_place, "own_interfaces", lambda: interfaces)

    def ec2(self, *vpcs: str) -> None:
        """Its hardware says EC2."""
        (self._folder / "dmi").mkdir()
        (self._folder / "dmi" / "sys_vendor").write_text("Amazon EC2\n")
        self.vpcs = frozenset(vpcs)

    def studio(self) -> None:
        """It has the metadata file of Studio."""
        (self._folder / "resource.json").write_text('{"DomainId": "d-1"}')


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def prove(aws: FakeAws | None = None, **options: Any) -> Place:
    return inside_vpc.prove(aws or FakeAws(), "vpc-1", ADDRESS, **options)


def interfaces(*found: dict[str, Any]) -> Answers:
    return {"NetworkInterfaces": list(found)}


def test_a_laptop_is_outside_without_a_call_or_a_file(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(network_place, "fingerprint", lambda: pytest.fail("not needed"))
    aws = FakeAws()
    assert prove(aws) == (False, "nothing says that this machine is in vpc-1", True)
    assert (aws.calls, machine.endpoints) == ([], [])
    assert not (tmp_path / "cache").exists()


def test_a_machine_without_a_route_is_outside(machine: Machine) -> None:
    machine.network(None)
    assert prove().reason == f"this machine has no route to {ADDRESS}"


def test_an_instance_in_the_vpc_is_inside(machine: Machine) -> None:
    machine.ec2("vpc-1", "vpc-2")
    aws = FakeAws()
    assert prove(aws) == (True, "this machine is in vpc-1 (instance metadata)", True)
    assert aws.calls == []
    assert machine.endpoints == ["http://169.254.169.254"]


def test_an_instance_in_another_vpc_is_outside(machine: Machine) -> None:
    machine.ec2("vpc-2")
    place = prove(FakeAws(DescribeNetworkInterfaces=interfaces()))
    assert not place.inside
    assert place.reason.startswith("this machine is in vpc-2 (instance metadata)")


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}, "http://127.0.0.1:1"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}, "http://[fd00:ec2::254]"),
    ],
)
def test_the_users_endpoint_of_the_metadata_is_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], endpoint: str
) -> None:
    machine.ec2("vpc-1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert prove().inside
    assert machine.endpoints == [endpoint]


def test_metadata_that_is_disabled_is_not_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.ec2("vpc-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "True")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    assert not prove().inside
    assert machine.endpoints == []


def test_an_old_instance_says_so_in_its_hypervisor(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "xen").write_text("ec2e1916-9099-7caf-fd21-012345abcdef\n")
    machine.vpcs = frozenset({"vpc-1"})
    assert prove().inside


def test_a_container_is_inside_if_the_interface_with_its_address_has_its_mac(
    machine: Machine,
) -> None:
    machine.network(OWN)
    aws = FakeAws(DescribeNetworkInterfaces=interfaces({**INTERFACE, "MacAddress": MAC.upper()}))
    assert prove(aws) == (True, "this machine is in vpc-1 (its interface eni-1)", True)
    ((_, asked),) = aws.calls
    assert asked["Filters"] == [
        {"Name": "addresses.private-ip-address", "Values": [OWN]},
    ]


@pytest.mark.parametrize(
    ("found", "mac"),
    [
        (interfaces(), MAC),
        (interfaces({**INTERFACE, "MacAddress": "02:fc:00:00:00:02"}), MAC),
        (interfaces({"NetworkInterfaceId": "eni-1"}), MAC),
        (interfaces({**INTERFACE, "VpcId": "vpc-2"}), MAC),
        (interfaces({**INTERFACE, "MacAddress": ""}), ""),
        (DENIED, MAC),
    ],
)
def test_a_foreign_network_with_the_same_numbers_is_outside(
    machine: Machine, found: Answers, mac: str
) -> None:
    machine.network(OWN, mac)
    assert not prove(FakeAws(DescribeNetworkInterfaces=found)).inside


def test_a_container_in_aws_may_have_an_address_of_another_range(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.network("100.64.0.9")
    aws = FakeAws(DescribeNetworkInterfaces=interfaces(INTERFACE))
    assert not prove(aws).inside
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE")
    assert prove(aws).inside


def test_an_ipv6_address_is_looked_up_as_one(machine: Machine) -> None:
    machine.network("2001:db8::7")
    aws = FakeAws(DescribeNetworkInterfaces=interfaces(INTERFACE))
    assert inside_vpc.prove(aws, "vpc-1", "2001:db8::5").inside
    assert aws.calls[0][1]["Filters"][0]["Name"] == "ipv6-addresses.ipv6-address"


def test_a_studio_app_is_inside_by_its_domain(machine: Machine) -> None:
    machine.studio()
    aws = FakeAws(DescribeDomain={"AppNetworkAccessType": "VpcOnly", "VpcId": "vpc-1"})
    assert prove(aws) == (True, "this machine is in vpc-1 (the domain d-1)", True)


def test_a_studio_app_of_another_vpc_is_outside(machine: Machine) -> None:
    machine.studio()
    aws = FakeAws(
        DescribeDomain={"AppNetworkAccessType": "VpcOnly", "VpcId": "vpc-2"},
        DescribeNetworkInterfaces=interfaces(),
    )
    place = prove(aws)
    assert not place.inside
    assert place.reason.startswith("this machine is in vpc-2 (the domain d-1), ")


def test_an_answer_is_kept_for_this_network(machine: Machine) -> None:
    machine.network(OWN)
    aws = FakeAws(DescribeNetworkInterfaces=[interfaces(INTERFACE), interfaces()])  # type: ignore[list-item]
    first = prove(aws)
    assert (prove(aws), len(aws.calls)) == (first, 1)
    machine.network(OWN, "02:fc:00:00:00:09")
    assert not prove(aws).inside
    assert len(aws.calls) == 2
    assert not prove(aws).inside
    assert len(aws.calls) == 2


def test_doctor_asks_again(machine: Machine) -> None:
    machine.network(OWN)
    aws = FakeAws(DescribeNetworkInterfaces=[interfaces(), interfaces(INTERFACE)])  # type: ignore[list-item]
    assert not prove(aws).inside
    assert prove(aws, fresh=True).inside
    assert prove(aws).inside


def test_a_failed_call_is_not_kept(machine: Machine) -> None:
    machine.network(OWN)
    failure = SmProxyError("throttled", "too many calls", "wait")
    aws = FakeAws(DescribeNetworkInterfaces=[failure, interfaces(INTERFACE)])  # type: ignore[list-item]
    assert prove(aws) == (False, "too many calls", False)
    assert prove(aws).inside


def test_a_damaged_record_is_asked_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.network(OWN)
    monkeypatch.setattr(Cache, "load", lambda *_: {"inside": "yes", "reason": 1})
    assert prove(FakeAws(DescribeNetworkInterfaces=interfaces(INTERFACE))).inside


def test_a_loopback_address_is_in_no_range(machine: Machine) -> None:
    machine.network("127.0.0.1")
    assert inside_vpc.prove(FakeAws(), "vpc-1", "127.0.0.2").reason.startswith("nothing says")


def test_a_machine_in_aws_knows_its_vpc_without_a_job(machine: Machine) -> None:
    aws = FakeAws(DescribeNetworkInterfaces=interfaces(INTERFACE))
    assert inside_vpc.own_vpcs(aws) is None
    assert aws.calls == []
    machine.ec2("vpc-7")
    found = inside_vpc.own_vpcs(aws)
    assert found is not None
    assert found.reason == "this machine is in vpc-7 (instance metadata)"
    machine.vpcs = frozenset()
    found = inside_vpc.own_vpcs(aws)
    assert found is not None
    assert found.reason == "this machine is in vpc-1 (its interface eni-1)"


def test_windows_tells_ec2_by_its_registry(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = builtins.__import__

    class Registry:
        HKEY_LOCAL_MACHINE = 0

        class OpenKey:
            def __init__(self, *_: Any) -> None: ...
            def __enter__(self) -> int:
                return 1

            def __exit__(self, *_: object) -> None: ...

        @staticmethod
        def QueryValueEx(*_: Any) -> tuple[str, int]:  # noqa: N802
            return "Amazon EC2", 1

    def imported(name: str, *rest: Any) -> Any:
        return Registry if name == "winreg" else asked(name, *rest)

    monkeypatch.setattr(builtins, "__import__", imported)
    assert inside_vpc._is_ec2_windows()
    monkeypatch.setattr(Registry, "QueryValueEx", lambda *_: ("Dell Inc.", 1))
    assert not inside_vpc._is_ec2_windows()
