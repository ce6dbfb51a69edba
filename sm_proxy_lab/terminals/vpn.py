"""The laptop in a cafe, with a VPN into the VPC: it has routes, but nothing says where it is."""

from __future__ import annotations

from typing import Final

from sm_proxy_lab.machines.network import VPC_CIDR, Fabric
from sm_proxy_lab.terminals.place import Site, Terminal

LAN: Final = "192.168.77.0/24"
CLIENTS: Final = "10.255.0.0/22"


def build(site: Site) -> Terminal:
    """Connect the laptop to the cafe, and the VPN to the VPC."""
    vpc = site.namespaces().vpc
    cafe = Fabric().plug(LAN)
    vpc.plug(CLIENTS, machine=cafe.netns, device="tun0", route=VPC_CIDR)
    site.account.admit_block(site.vpc.group, CLIENTS)
    return Terminal(
        cafe.netns, variables={"AWS_EC2_METADATA_DISABLED": None, "SM_PROXY_PROBE": None}
    )
