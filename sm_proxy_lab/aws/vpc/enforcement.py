"""Enforces the VPC's records: with the router's packet filter and the bastion's routes, or here.

With network namespaces and nft, the router drops the packets that the records do not allow, and the
bastion gets the routes that they give it. Otherwise this module evaluates the records, and the
gateway lets a dial hang that they do not allow.
"""

from __future__ import annotations

import ipaddress
import threading
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.account import REGION
from sm_proxy_lab.aws.vpc import records
from sm_proxy_lab.aws.vpc.way_out import SERVICES
from sm_proxy_lab.machines import packet_filter
from sm_proxy_lab.machines.network import SERVICE_ADDRESSES
from sm_proxy_lab.machines.packet_filter import Gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sm_proxy_lab.aws.vpc.cables import Cables
    from sm_proxy_lab.aws.vpc.way_out import WayOut

_SERVED: Final = frozenset(SERVICES)


class Enforcement:
    """Enforces the records.

    Args:
        cables: the network; None to evaluate the records here.
        empty: the lab has begun without a VPC: every VPC is enforced, and the bastion is the first
            running instance with its tag, in any region. One region is in the network at a time.
    """

    def __init__(self, cables: Cables | None = None, *, empty: bool = False) -> None:
        self._cables = cables
        self._empty = empty
        self._region = REGION
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
            if self._empty:
                found = records.bastion()
                self._region = found.region if found else self._region
                self._cables.follow(found)
            vpc = records.vpc(self._region, self._containers, every_vpc=self._empty)
            gates = list(vpc.machines)
            if (way := self._way_of_bastion(self._cables)) is not None:
                gates += [
                    Gate(SERVICE_ADDRESSES[name], None, rules)
                    for name, rules in way.endpoints.items()
                    if name in _SERVED
                ]
                self._cables.route(way)
            self._cables.filter(gates, vpc.subnets)

    def dropped(self, region: str, instance_id: str, host: str, port: int) -> bool:
        """Whether the gateway must let a dial hang, because there is no packet filter to do it."""
        found = self._instance(region, instance_id)
        if self._cables is not None or found is None:
            return False
        try:
            ipaddress.ip_address(host)
        except ValueError:  # a name
            return False
        vpc = records.vpc(region, self._containers, every_vpc=self._empty)
        source = str(found.private_ip)
        return not packet_filter.lets_connect(vpc.machines, vpc.subnets, source, host, port)

    def agent_reaches(self, region: str, instance_id: str) -> bool:
        """Whether the agent of an instance can reach Systems Manager."""
        found = self._instance(region, instance_id)
        if found is None:
            return True
        place = self._cables and self._cables.place
        if self._cables is not None and place and str(found.private_ip) == place.address:
            return self._cables.reaches()
        return self._way_out(region, found).lets(str(found.private_ip))

    def _instance(self, region: str, instance_id: str) -> Any | None:
        return records.instance(region, instance_id, every_vpc=self._empty)

    def _way_of_bastion(self, cables: Cables) -> WayOut | None:
        if cables.place is None:
            return None
        found = records.instance_at(self._region, cables.place.address, every_vpc=self._empty)
        return None if found is None else self._way_out(self._region, found)

    def _way_out(self, region: str, found: Any) -> WayOut:
        return records.way_out(region, found, self._containers, egress=self._empty)
