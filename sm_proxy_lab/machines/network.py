"""The lab's network: a VPC of network namespaces, or loopback addresses if those are not permitted.

In netns mode one namespace, the fabric, is the VPC's router. Each machine has its own cable to it.
As in a VPC, the fabric answers ARP requests for all addresses and forwards packets. The laptop has
no cable: it cannot reach 10.x.x.x, and nothing in the lab can reach the host's network.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import shutil
import socket
from dataclasses import dataclass, field
from typing import Final

from sm_proxy_lab.errors import LabError, report
from sm_proxy_lab.machines import cable, namespaces, role_credentials
from sm_proxy_lab.machines.cable import DEVICE, EVERYWHERE, Place, index, rtnetlink
from sm_proxy_lab.python import python_module

VPC_CIDR = "10.0.0.0/16"
# Private subnets: the first for the bastion, the others for containers.
BASTION_SUBNET = "10.0.128.0/20"
NODE_SUBNETS = ("10.0.144.0/20", "10.0.160.0/20")
BASTION_PORT: Final = "port0"
"""The router's end of the bastion's cable, the first one."""
# Addresses of Systems Manager for the bastion's agent. Nothing listens there; the router answers.
SERVICE_ADDRESSES = {"ssm": "198.51.100.1", "ssmmessages": "198.51.100.2"}
# The network of jobs without a VpcConfig. No machine of the VPC can reach it.
SERVICE_SUBNET = "172.18.0.0/20"

_MACHINE = namespaces.CLONE_NEWNET | namespaces.CLONE_NEWNS | namespaces.CLONE_NEWPID

_RT_SCOPE_HOST = 254
_TABLE_LOCAL = 255
NETNS = "netns"
LOOPBACK = "loopback"
LOOPBACK_PORT = 2222


@dataclass(frozen=True)
class Cable:
    """A machine's connection to the network.

    Attributes:
        address: its IPv4 address.
        prefix: the prefix length of its subnet.
        device: the interface's name inside the machine.
        port: the port for its sshd, or None if the image chooses.
        netns: descriptor of its network namespace, or None for the host's.
        mac: the interface's MAC address; empty in loopback mode.
    """

    address: str
    prefix: int
    device: str
    port: int | None = None
    netns: int | None = None
    mac: str = ""


def choose_mode(requested: str | None) -> str:
    """Return the network mode; if network namespaces are not permitted, report it on stderr.

    Raises:
        LabError: `requested` is netns, but network namespaces are not permitted.
    """
    if requested == LOOPBACK:
        return LOOPBACK
    if _netns_works():
        return NETNS
    if requested == NETNS:
        raise LabError(
            "network namespaces are not permitted here: run as root, or use --network loopback"
        )
    report(
        "network namespaces need root: using loopback addresses;"
        " only the gateway applies security groups"
    )
    return LOOPBACK


def _netns_works() -> bool:
    """Try whether a machine can have namespaces, a cable and a router that forwards."""
    if os.geteuid() != 0 or not namespaces.may_isolate(_MACHINE):
        return False
    try:
        plugged = Fabric().plug(BASTION_SUBNET)
    except OSError:
        return False
    if plugged.netns is not None:
        os.close(plugged.netns)
    return True


@dataclass
class Fabric:
    """A router's namespace, and the cables from it to machines."""

    netns: int = field(default_factory=namespaces.new_netns)
    _plugged: int = 0
    _taken: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Configure the router."""
        with rtnetlink(self.netns) as routes:
            routes.link("set", index=index("lo"), state="up")
            # Containers reach this address through their default route.
            routes.addr("add", index=index("lo"), address=role_credentials.ADDRESS, prefixlen=32)
            namespaces.write_sysctl("net.ipv4.ip_forward", "1")

    def plug(
        self,
        cidr: str,
        *,
        address: str | None = None,
        machine: int | None = None,
        device: str = DEVICE,
        route: str = EVERYWHERE,
    ) -> Cable:
        """Connect a machine to the subnet `cidr`.

        Args:
            cidr: the subnet.
            address: the machine's address there; None for the next free one.
            machine: descriptor of the machine's network namespace; None to make one.
            device: the interface's name inside the machine.
            route: the block that the machine reaches through this cable.
        """
        where = Place(address or self._next_address(ipaddress.IPv4Network(cidr)), cidr)
        machine = namespaces.new_netns() if machine is None else machine
        port, mac = self.connect(machine, device)
        cable.place(self.netns, port, machine, where, device)
        with rtnetlink(machine) as routes:
            routes.route("add", dst=route, gateway=where.router)
        return Cable(where.address, where.prefix, device, netns=machine, mac=mac)

    def connect(self, machine: int, device: str = DEVICE) -> tuple[str, str]:
        """Make a cable without addresses.

        Returns:
            The name of the router's end, and the MAC address at the machine's end.
        """
        port = f"port{self._plugged}"
        self._plugged += 1
        return port, cable.connect(self.netns, port, machine, device)

    def _next_address(self, subnet: ipaddress.IPv4Network) -> str:
        taken = self._taken.get(str(subnet), 0)
        # The lower half is for the instances that EC2 places (moto counts from the start), and the
        # first four are AWS's. A random start gives each lab other addresses.
        half = max(4, subnet.num_addresses // 2)
        number = taken + 1 if taken else half + secrets.randbelow(min(100, max(1, half // 4)))
        self._taken[str(subnet)] = number
        return str(subnet.network_address + number % (subnet.num_addresses - 1))

    def send_all_to(self, cidr: str, machine: Cable) -> None:
        """Send the packets for a block to a machine, which takes all its addresses as its own."""
        assert machine.netns is not None  # noqa: S101 - for the type checker
        with rtnetlink(machine.netns) as routes:
            kind = {"type": "local", "scope": _RT_SCOPE_HOST, "table": _TABLE_LOCAL}
            routes.route("add", dst=cidr, oif=index("lo"), **kind)
        with rtnetlink(self.netns) as routes:
            routes.route("add", dst=cidr, gateway=machine.address)


class NetnsNetwork:
    """The VPC made of namespaces."""

    mode = NETNS

    def __init__(self, *, laptop_is_host: bool = False, empty: bool = False) -> None:
        """Build the VPC.

        Args:
            laptop_is_host: the client uses the caller's network instead of a namespace without
                routes. This is for `lab up`, whose client is a shell that the lab did not start.
            empty: the bastion's cable has no address yet; EC2's records will tell it.
        """
        self.laptop = namespaces.current_netns() if laptop_is_host else namespaces.new_netns()
        if not laptop_is_host:
            with rtnetlink(self.laptop) as routes:
                routes.link("set", index=index("lo"), state="up")
        self._vpc = Fabric()
        self._service: Fabric | None = None
        self.bastion = self._plug_bastion(empty=empty)
        with rtnetlink(self._vpc.netns) as routes:
            for address in SERVICE_ADDRESSES.values():
                routes.addr("add", index=index("lo"), address=address, prefixlen=32)

    def _plug_bastion(self, *, empty: bool) -> Cable:
        machine = namespaces.new_netns()
        if empty:
            _, mac = self._vpc.connect(machine)
            return Cable("", 0, DEVICE, netns=machine, mac=mac)
        found = self._vpc.plug(BASTION_SUBNET, machine=machine)
        # The records decide about its default route; the route to the VPC is always there.
        with rtnetlink(machine) as routes:
            router = Place(found.address, BASTION_SUBNET).router
            routes.route("add", dst=VPC_CIDR, gateway=router)
        return found

    @property
    def router(self) -> int:
        """Descriptor of the router's network namespace: all packets of the VPC pass it."""
        return self._vpc.netns

    @property
    def vpc(self) -> Fabric:
        """The VPC, to connect machines to it."""
        return self._vpc

    def plug_node(self, cidr: str | None) -> Cable:
        """Connect a container to the VPC's subnet `cidr`, or to a network outside if it is None."""
        if cidr is not None:
            return self._vpc.plug(cidr)
        if self._service is None:
            self._service = Fabric()
        return self._service.plug(SERVICE_SUBNET)

    def plug_isolated(self, cidrs: list[str | None]) -> list[Cable]:
        """Connect the containers of a job in network isolation to each other only.

        Args:
            cidrs: the subnet of each container, or None.
        """
        peers = Fabric()
        return [peers.plug(cidr or SERVICE_SUBNET) for cidr in cidrs]

    def plug_alone(self) -> Cable:
        """Make a machine that reaches nothing but its own localhost."""
        machine = namespaces.new_netns()
        with rtnetlink(machine) as routes:
            routes.link("set", index=index("lo"), state="up")
        return Cable("127.0.0.1", 8, "lo", netns=machine)

    def role_sockets(self) -> tuple[socket.socket, socket.socket]:
        """Make the listening sockets for `RoleCredentials.serve`: credentials, S3."""
        with namespaces.entered(self._vpc.netns):
            return listening((role_credentials.ADDRESS, 80)), listening(
                (role_credentials.ADDRESS, role_credentials.S3_PORT)
            )

    def metadata_socket(self, address: str) -> socket.socket:
        """Make the listening socket of the instance metadata service in the VPC's router."""
        with rtnetlink(self._vpc.netns) as routes:
            routes.addr("add", index=index("lo"), address=address, prefixlen=32)
            server = listening((address, 80))
        # As with EC2's default hop limit: answers do not get past the machine itself.
        server.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        return server

    def on_bastion(self, init: int) -> list[str]:
        """Return the command prefix that runs a program in the bastion's network.

        Args:
            init: pid of the lab's init in the /proc of the prefix's user. Ours may be another one.
        """
        path = f"/proc/{init}/root/proc/{os.getpid()}/fd/{self.bastion.netns}"
        if shutil.which("nsenter"):
            return ["nsenter", f"--net={path}", "--"]
        return [*python_module("sm_proxy_lab.machines.nsenter"), path]

    def enter_laptop(self) -> None:
        """Move the calling thread, and what it starts later, into the laptop's namespace."""
        namespaces.setns(self.laptop, namespaces.CLONE_NEWNET)


class LoopbackNetwork:
    """Addresses of 127.0.0.0/8; each lab has a block of 254."""

    mode = LOOPBACK

    def __init__(self) -> None:
        """Claim a block that no other lab uses."""
        self._claim, self._block = _claim_block()
        self._next = 10
        self.laptop: int | None = None
        self.bastion = Cable(f"{self._block}.2", 8, "lo")

    def plug_node(self, cidr: str | None) -> Cable:  # noqa: ARG002 - every subnet is loopback here
        """Give a container the block's next address."""
        if self._next > 254:
            raise LabError("a lab on loopback addresses has room for 245 containers")
        address = f"{self._block}.{self._next}"
        self._next += 1
        return Cable(address, 8, "lo", port=LOOPBACK_PORT)

    def plug_isolated(self, cidrs: list[str | None]) -> list[Cable]:
        """Give containers addresses; without network namespaces nothing can isolate them."""
        return [self.plug_node(cidr) for cidr in cidrs]

    def plug_alone(self) -> Cable:
        """Give a machine an address; without network namespaces nothing can isolate it."""
        return self.plug_node(None)

    def on_bastion(self, init: int) -> list[str]:  # noqa: ARG002
        """Return a prefix that changes nothing: all machines share the host's network."""
        return ["env"]

    def enter_laptop(self) -> None:
        """Do nothing: the laptop is the host."""


Network = NetnsNetwork | LoopbackNetwork


def _claim_block() -> tuple[socket.socket, str]:
    """Claim a free block: hold a port on its first address for as long as the lab runs.

    Raises:
        LabError: 100 random blocks were taken.
    """
    for _ in range(100):
        block = f"127.{16 + secrets.randbelow(224)}.{secrets.randbelow(256)}"
        claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            claim.bind((f"{block}.1", LOOPBACK_PORT))
            claim.listen(1)
        except OSError:
            claim.close()
            continue
        return claim, block
    raise LabError("no free block of loopback addresses was found")


def listen(network: Network) -> socket.socket:
    """Bind a TCP socket on the client's 127.0.0.1."""
    scope = (
        namespaces.entered(network.laptop)
        if network.laptop is not None
        else contextlib.nullcontext()
    )
    with scope:
        return listening(("127.0.0.1", 0))


def listen_in(netns: int, address: tuple[str, int]) -> socket.socket:
    """Bind a TCP socket in a network namespace."""
    with namespaces.entered(netns):
        return listening(address)


def set_mac(plugged: Cable, mac: str) -> None:
    """Change the MAC address of a machine's interface."""
    assert plugged.netns is not None  # noqa: S101 - for the type checker
    with rtnetlink(plugged.netns) as routes:
        routes.link("set", index=index(plugged.device), address=mac)


def listening(address: tuple[str, int]) -> socket.socket:
    """Bind a TCP socket in the calling thread's network."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.bind(address)
    server.listen(512)
    return server
