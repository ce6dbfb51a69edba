"""A machine's cable to its router: a pair of interfaces (veth) in two network namespaces."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.machines import namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERYWHERE: Final = "0.0.0.0/0"
DEVICE: Final = "eth0"
"""The interface's name inside a machine."""
_RT_SCOPE_LINK: Final = 253


@dataclass(frozen=True)
class Place:
    """Where a machine is in a network.

    Attributes:
        address: its IPv4 address.
        subnet: the CIDR block of its subnet. As in a VPC, the first address is the router's.
    """

    address: str
    subnet: str

    @property
    def router(self) -> str:
        """The router's address in the subnet."""
        return str(ipaddress.IPv4Network(self.subnet).network_address + 1)

    @property
    def prefix(self) -> int:
        """The subnet's prefix length."""
        return ipaddress.IPv4Network(self.subnet).prefixlen


@contextlib.contextmanager
def rtnetlink(netns: int) -> Iterator[Any]:
    """Run the body inside the network namespace `netns`, with pyroute2's `IPRoute` for it.

    Raises:
        OSError: the kernel refuses a request.
    """
    # It takes an eighth of a second to import, and loopback mode does without it.
    from pyroute2 import IPRoute, NetlinkError  # noqa: PLC0415

    with namespaces.entered(netns), IPRoute() as routes:
        try:
            yield routes
        except NetlinkError as error:
            raise OSError(error.code, f"rtnetlink: {os.strerror(error.code)}") from error


def index(name: str) -> int:
    """The number of an interface of the calling thread's network namespace."""
    return socket.if_nametoindex(name)


def connect(router: int, port: str, machine: int, device: str = DEVICE) -> str:
    """Make a cable without addresses; return the MAC address at the machine's end.

    Args:
        router: descriptor of the router's network namespace.
        port: the name of the router's end.
        machine: descriptor of the machine's network namespace.
        device: the name of the machine's end.
    """
    mac = "02:" + secrets.token_bytes(5).hex(":")  # 02: not a manufacturer's
    with rtnetlink(router) as routes:
        peer = {"ifname": device, "net_ns_fd": machine}
        routes.link("add", ifname=port, kind="veth", peer=peer)
        namespaces.write_sysctl(f"net.ipv4.conf.{port}.proxy_arp", "1")
        # Otherwise the kernel answers after a random delay of up to 0.8 s.
        namespaces.write_sysctl(f"net.ipv4.neigh.{port}.proxy_delay", "0")
        routes.link("set", index=index(port), state="up")
    with rtnetlink(machine) as routes:
        routes.link("set", index=index("lo"), state="up")
        routes.link("set", index=index(device), address=mac, state="up")
    return mac


def place(router: int, port: str, machine: int, where: Place, device: str = DEVICE) -> None:
    """Give addresses to both ends of a cable; routes of the machine are added elsewhere."""
    with rtnetlink(router) as routes:
        end = index(port)
        routes.addr("add", index=end, address=where.router, prefixlen=32)
        routes.route("add", dst=f"{where.address}/32", oif=end, scope=_RT_SCOPE_LINK)
    with rtnetlink(machine) as routes:
        routes.addr("add", index=index(device), address=where.address, prefixlen=where.prefix)


def remove(router: int, port: str, machine: int, device: str = DEVICE) -> None:
    """Take the addresses from both ends of a cable, and with them the routes through it."""
    for netns, end in ((machine, device), (router, port)):
        with rtnetlink(netns) as routes:
            routes.flush_routes(oif=index(end))
            routes.flush_addr(index=index(end))
