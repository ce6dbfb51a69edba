from __future__ import annotations

import errno
import socket

import pytest

from sm_proxy_lab.machines import namespaces, network
from tests.lab.conftest import ISOLATED, needs_root


@needs_root
def test_only_the_vpcs_subnets_reach_a_node() -> None:
    vpc = network.NetnsNetwork()
    first, second = (vpc.plug_node(cidr) for cidr in network.NODE_SUBNETS)
    outside = vpc.plug_node(None)
    assert first.address.startswith("10.0.15")
    assert first.netns is not None
    assert vpc.bastion.netns is not None
    assert second.netns is not None
    assert outside.netns is not None
    assert vpc.laptop is not None
    with namespaces.entered(first.netns):
        server = socket.create_server(("", 22))
    with server:
        for netns in (vpc.bastion.netns, second.netns, first.netns):
            with namespaces.entered(netns):
                socket.create_connection((first.address, 22), timeout=30).close()
        for netns in (vpc.laptop, outside.netns):
            with namespaces.entered(netns), pytest.raises(OSError):  # noqa: PT011
                socket.create_connection((first.address, 22), timeout=0.5).close()


@needs_root
def test_the_machine_of_a_space_reaches_only_itself() -> None:
    alone = network.NetnsNetwork(empty=True).plug_alone()
    assert alone.netns is not None
    with namespaces.entered(alone.netns):
        # A kernel may put unused tunnels into each namespace, so the list of links tells nothing.
        with socket.socket(type=socket.SOCK_DGRAM) as packets:  # it sends nothing
            assert packets.connect_ex(("10.0.1.5", 9)) == errno.ENETUNREACH
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=30).close()


def test_loopback_labs_use_different_addresses() -> None:
    labs = [network.LoopbackNetwork() for _ in range(20)]
    addresses = {lab.plug_node(None).address for lab in labs}
    assert len(addresses) == 20
    assert all(address.startswith("127.") for address in addresses)
    for lab in labs:
        lab._claim.close()


def test_the_requested_mode_is_used() -> None:
    assert network.choose_mode("loopback") == "loopback"
    assert network.choose_mode(None) == ("netns" if ISOLATED else "loopback")
