"""The router's packet filter and the bastion's cable, which follow the records."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sm_proxy_lab.aws.vpc.way_out import SERVICES
from sm_proxy_lab.machines import cable, namespaces, packet_filter
from sm_proxy_lab.machines.cable import EVERYWHERE, Place, rtnetlink
from sm_proxy_lab.machines.network import (
    BASTION_PORT,
    BASTION_SUBNET,
    SERVICE_ADDRESSES,
)

if TYPE_CHECKING:
    from sm_proxy_lab.aws.vpc.records import Bastion
    from sm_proxy_lab.aws.vpc.way_out import WayOut
    from sm_proxy_lab.machines.packet_filter import Gate

_PROBE_S: Final = 1.0
_HTTPS: Final = 443


@dataclass
class Cables:
    """The network that the enforcement changes.

    Attributes:
        router: file descriptor of the router's network namespace.
        bastion: file descriptor of the bastion's network namespace.
        place: where the bastion is; None if its cable has no address.
        guards_services: whether the bastion's egress rules apply to Systems Manager.
    """

    router: int
    bastion: int
    place: Place | None = None
    guards_services: bool = True
    _rules: str = ""
    _routes: set[str] = field(default_factory=set)

    @classmethod
    def of_the_lab(cls, router: int, bastion: int, address: str) -> Cables:
        """The cables of a lab that has made its bastion itself, with a default route.

        Its agent keeps its connection when egress rules change, as an agent does for a while.
        """
        where = Place(address, BASTION_SUBNET)
        return cls(router, bastion, where, guards_services=False, _routes={EVERYWHERE})

    def follow(self, wanted: Bastion | None) -> None:
        """Give the bastion's cable the address of this instance, if it has another one."""
        where = None if wanted is None else wanted.place
        if where == self.place:
            return
        if self.place is not None:
            cable.remove(self.router, BASTION_PORT, self.bastion)
        self.place, self._routes = where, set()
        if wanted is None or where is None:
            return
        cable.place(self.router, BASTION_PORT, self.bastion, where)
        with rtnetlink(self.bastion) as routes:
            routes.route("add", dst=wanted.vpc_block, gateway=where.router)

    def filter(self, gates: Sequence[Gate], subnets: Sequence[Gate]) -> None:
        """Make the router drop the packets that these gates do not allow."""
        rules = packet_filter.ruleset(gates, subnets, guards_services=self.guards_services)
        if rules != self._rules:
            packet_filter.switch(self.router, rules)
            self._rules = rules

    def route(self, way: WayOut) -> None:
        """Give the bastion the routes to Systems Manager; remove the others."""
        wanted = {f"{SERVICE_ADDRESSES[name]}/32" for name in way.endpoints if name in SERVICES}
        wanted |= {EVERYWHERE} if way.default else set()
        if wanted == self._routes or self.place is None:
            return
        with rtnetlink(self.bastion) as routes:
            for route in wanted - self._routes:
                routes.route("add", dst=route, gateway=self.place.router)
            for route in self._routes - wanted:
                routes.route("del", dst=route)
        self._routes = wanted

    def reaches(self) -> bool:
        """Whether the bastion reaches Systems Manager: the router answers at its addresses."""
        with namespaces.entered(self.bastion):
            return all(_answers(SERVICE_ADDRESSES[name]) for name in SERVICES)


def _answers(address: str) -> bool:
    try:
        socket.create_connection((address, _HTTPS), timeout=_PROBE_S).close()
    except ConnectionRefusedError:  # no listener, but the address is reachable
        return True
    except OSError:
        return False
    return True
