"""Enforces the VPC's records: with the router's packet filter and the bastion's routes, or here.

With network namespaces and nft, the router drops the packets that the records do not allow, and the
bastion gets the routes that they give it. Otherwise this module evaluates the records, and the
gateway lets a dial hang that they do not allow.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sm_proxy_lab.account import REGION
from sm_proxy_lab.aws.vpc import records
from sm_proxy_lab.machines import namespaces, packet_filter
from sm_proxy_lab.machines.network import BASTION_ROUTER, SERVICE_ADDRESSES, rtnetlink
from sm_proxy_lab.machines.packet_filter import Gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sm_proxy_lab.aws.vpc.records import WayOut

_DEFAULT: Final = "0.0.0.0/0"
_PROBE_S: Final = 1.0
_HTTPS: Final = 443
_SERVED: Final = frozenset(records.SERVICES)


@dataclass
class Cables:
    """The network that the enforcement changes.

    Attributes:
        router: file descriptor of the router's network namespace.
        bastion: file descriptor of the bastion's network namespace.
        address: the bastion's address.
    """

    router: int
    bastion: int
    address: str
    _rules: str = ""
    _routes: set[str] = field(default_factory=lambda: {_DEFAULT})

    def filter(self, gates: Sequence[Gate], subnets: Sequence[Gate]) -> None:
        """Make the router drop the packets that these gates do not allow."""
        rules = packet_filter.ruleset(gates, subnets)
        if rules != self._rules:
            packet_filter.switch(self.router, rules)
            self._rules = rules

    def route(self, way: WayOut) -> None:
        """Give the bastion the routes to Systems Manager; remove the others."""
        wanted = {f"{SERVICE_ADDRESSES[name]}/32" for name in way.endpoints if name in _SERVED}
        wanted |= {_DEFAULT} if way.default else set()
        if wanted == self._routes:
            return
        with rtnetlink(self.bastion) as routes:
            for route in wanted - self._routes:
                routes.route("add", dst=route, gateway=BASTION_ROUTER)
            for route in self._routes - wanted:
                routes.route("del", dst=route)
        self._routes = wanted

    def reaches(self) -> bool:
        """Whether the bastion reaches Systems Manager: the router answers at its addresses."""
        with namespaces.entered(self.bastion):
            return all(_answers(SERVICE_ADDRESSES[name]) for name in records.SERVICES)


def _answers(address: str) -> bool:
    try:
        socket.create_connection((address, _HTTPS), timeout=_PROBE_S).close()
    except ConnectionRefusedError:  # nobody listens, but the address is reachable
        return True
    except OSError:
        return False
    return True


class Enforcement:
    """Enforces the records."""

    def __init__(self, cables: Cables | None = None) -> None:
        self._cables = cables
        self._containers: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def plug(self, addresses: Sequence[str], groups: Sequence[str]) -> None:
        """Add containers with their security groups."""
        with self._lock:
            self._containers |= {address: tuple(groups) for address in addresses}
        self.update()

    def update(self) -> None:
        """Set filter and routes according to the present records."""
        if self._cables is None:
            return
        with self._lock:
            vpc = records.vpc(REGION, self._containers)
            gates = list(vpc.machines)
            if (way := self._way_of(self._cables.address)) is not None:
                gates += [
                    Gate(SERVICE_ADDRESSES[name], None, rules)
                    for name, rules in way.endpoints.items()
                    if name in _SERVED
                ]
                self._cables.route(way)
            self._cables.filter(gates, vpc.subnets)

    def dropped(self, region: str, instance_id: str, host: str, port: int) -> bool:
        """Whether the gateway must let a dial hang, because there is no packet filter to do it."""
        found = records.instance(region, instance_id)
        if self._cables is not None or found is None:
            return False
        try:
            ipaddress.ip_address(host)
        except ValueError:  # a name
            return False
        vpc, source = records.vpc(region, self._containers), str(found.private_ip)
        return not packet_filter.lets_connect(vpc.machines, vpc.subnets, source, host, port)

    def agent_reaches(self, region: str, instance_id: str) -> bool:
        """Whether the agent of an instance can reach Systems Manager."""
        found = records.instance(region, instance_id)
        if found is None:
            return True
        if self._cables is not None and str(found.private_ip) == self._cables.address:
            return self._cables.reaches()
        return records.way_out(region, found, self._containers).lets(str(found.private_ip))

    def _way_of(self, address: str) -> WayOut | None:
        found = records.instance_at(REGION, address)
        return None if found is None else records.way_out(REGION, found, self._containers)
