"""The network is told from this machine's own interfaces, and it stays the same while they do."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from sm_proxy.local import network_place
from sm_proxy.local.network_place import OwnAddress

ETHERNET = OwnAddress("eth0", "02:fc:00:00:00:01", "10.0.1.7", 20)
VPN = OwnAddress("tun0", "", "10.8.0.2", 24)
PRIVACY = ETHERNET._replace(address="2001:db8::1234", prefix=64)


def digest(
    monkeypatch: pytest.MonkeyPatch, *interfaces: OwnAddress, gateways: tuple[str, ...] = ()
) -> str:
    monkeypatch.setattr(network_place, "own_interfaces", lambda: list(interfaces))
    monkeypatch.setattr(network_place, "default_gateways", lambda: list(gateways))
    return network_place.fingerprint()


def test_another_address_interface_or_gateway_is_another_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = [
        digest(monkeypatch, ETHERNET),
        digest(monkeypatch, ETHERNET, VPN),
        digest(monkeypatch, ETHERNET._replace(address="10.0.1.8")),
        digest(monkeypatch, ETHERNET._replace(mac="02:fc:00:00:00:02")),
        digest(monkeypatch, ETHERNET, gateways=("eth0 0100000A",)),
        digest(monkeypatch),
    ]
    assert len(set(others)) == len(others)


def test_the_order_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert digest(monkeypatch, VPN, ETHERNET) == digest(monkeypatch, ETHERNET, VPN)


def test_a_new_privacy_address_is_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    later = PRIVACY._replace(address="2001:db8::5678")
    elsewhere = PRIVACY._replace(address="2001:db8:1::5678")
    assert digest(monkeypatch, PRIVACY) == digest(monkeypatch, later)
    assert digest(monkeypatch, PRIVACY) != digest(monkeypatch, elsewhere)


@pytest.mark.skipif(sys.platform == "win32", reason="names of interfaces")
def test_the_interfaces_are_those_of_the_system() -> None:
    found = network_place.own_interfaces()
    names = {name for _, name in socket.if_nameindex()}
    assert {item.name for item in found} <= names
    assert not [item for item in found if item.address.startswith(("127.", "fe80:", "169.254."))]
    for item in found:
        assert 0 < item.prefix <= (128 if ":" in item.address else 32)
        shown = Path("/sys/class/net", item.name, "address")
        if item.mac and shown.exists():
            assert item.mac == shown.read_text(encoding="ascii").strip()


def test_the_same_network_has_the_same_fingerprint() -> None:
    assert network_place.fingerprint() == network_place.fingerprint()


def test_the_own_address_towards_a_destination() -> None:
    assert network_place.source_address("127.0.0.1") == "127.0.0.1"
    assert network_place.source_address("no address") is None


def test_default_gateways_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    routes = tmp_path / "route"
    routes.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n"
        "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0\n"
        "cut\n",
        encoding="ascii",
    )
    monkeypatch.setattr(network_place, "_ROUTES", str(routes))
    assert network_place.default_gateways() == ["eth0 0100000A"]
    monkeypatch.setattr(network_place, "_ROUTES", str(tmp_path / "none"))
    assert network_place.default_gateways() == []


@pytest.mark.parametrize("name", [b"en0", b"bridge100"])
def test_hardware_addresses_of_macos(monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    """link(4): length, family 18, index, type, lengths of name, address and selector, data."""
    monkeypatch.setattr(network_place, "_LINUX", False)
    mac = bytes.fromhex("02fc00000001")
    head = bytes([18, 5, 0, 6, len(name), len(mac), 0])
    address = bytes([1 + len(head) + len(name) + len(mac)]) + head + name + mac
    assert network_place.mac_of(address) == "02:fc:00:00:00:01"
    assert network_place.mac_of(address[:-1]) == ""


def test_addresses_of_macos_with_a_netmask_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_place, "_LINUX", False)
    memory = {
        1: bytes([16, socket.AF_INET, 0, 0, 10, 0, 1, 7]) + bytes(8),
        2: bytes([7, 0, 0, 0, 255, 255, 240]) + b"\xff" * 9,
        3: bytes([20, 99]) + bytes(18),
    }

    def string_at(pointer: int, size: int) -> bytes:
        return memory[pointer][:size]

    address = network_place._copied(string_at, 1, None)
    mask = network_place._copied(string_at, 2, socket.AF_INET)
    assert network_place._number(address) == "10.0.1.7"
    assert network_place._prefix(mask, "10.0.1.7") == 20
    assert network_place._copied(string_at, 3, None) == b""
    assert network_place._copied(string_at, None, None) == b""


def test_windows_tells_its_addresses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop")
    monkeypatch.setattr(
        socket, "gethostbyname_ex", lambda name: (name, [], ["10.0.1.7", "169.254.3.4"])
    )
    assert network_place.own_interfaces() == [OwnAddress("", "", "10.0.1.7", 32)]


def test_a_system_without_answers_has_a_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[OwnAddress]:
        raise OSError("Operation not permitted")

    monkeypatch.setattr(network_place, "_posix", refuse)
    monkeypatch.setattr(network_place, "_windows", refuse)
    assert network_place.own_interfaces() == []
    assert network_place.fingerprint()
