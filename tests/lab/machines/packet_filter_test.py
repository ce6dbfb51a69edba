"""Packet filter rules: our evaluation of them, and the kernel's."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Iterator

import pytest

from sm_proxy_lab.machines import namespaces, network, packet_filter
from sm_proxy_lab.machines.network import BASTION_SUBNET, NODE_SUBNETS
from sm_proxy_lab.machines.packet_filter import Gate, Rule
from tests.lab.conftest import ISOLATED

_ALL = (Rule(("0.0.0.0/0",)),)
_SSH, _OTHER, _LASTING = 22, 23, 24


class Vpc:
    """A bastion, and a container in another subnet that listens on three ports."""

    def __init__(self) -> None:
        self._network = network.NetnsNetwork()
        node = self._network.plug_node(NODE_SUBNETS[0])
        self.bastion, self.node = self._network.bastion.address, node.address
        assert node.netns is not None
        with namespaces.entered(node.netns):
            ports = (_SSH, _OTHER, _LASTING)
            self.servers = [socket.create_server(("", port)) for port in ports]

    @property
    def router(self) -> int:
        return self._network.router

    def dial(self, port: int) -> socket.socket:
        assert self._network.bastion.netns is not None
        with namespaces.entered(self._network.bastion.netns):
            return socket.create_connection((self.node, port), timeout=30)

    def let_in(self, expected: set[int]) -> set[int]:
        """Connect to two ports at once; return those that answer, soon if none is expected."""
        assert self._network.bastion.netns is not None
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as answers:
            stack.enter_context(namespaces.entered(self._network.bastion.netns))
            for port in (_SSH, _OTHER):
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex((self.node, port))
                answers.register(client, selectors.EVENT_WRITE, port)
            found: set[int] = set()
            until = time.monotonic() + 30
            while not expected <= found and time.monotonic() < until:
                found |= self._answered(answers, 1)
            return found | (self._answered(answers, 0.4) if answers.get_map() else set())

    @staticmethod
    def _answered(answers: selectors.BaseSelector, seconds: float) -> set[int]:
        found = set()
        for key, _ in answers.select(seconds):
            answers.unregister(key.fileobj)
            assert isinstance(key.fileobj, socket.socket)
            assert key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            found.add(key.data)
        return found


@pytest.fixture(scope="module")
def vpc() -> Iterator[Vpc]:
    if not ISOLATED or not packet_filter.works((found := Vpc()).router):
        pytest.skip("needs root and nft")
    yield found
    for server in found.servers:
        server.close()


def tcp(*ports: int, peers: str = "0.0.0.0/0", allow: bool = True) -> Rule:
    return Rule((peers,), "tcp", (ports[0], ports[-1]), allow=allow)


@pytest.mark.parametrize(
    ("rules", "passing"),
    [
        ((_ALL, _ALL, _ALL, _ALL), {_SSH, _OTHER}),
        ((None, None, _ALL, _ALL), {_SSH, _OTHER}),
        ((_ALL, (), _ALL, _ALL), set()),
        (((), _ALL, _ALL, _ALL), set()),
        ((_ALL, (tcp(_SSH),), _ALL, _ALL), {_SSH}),
        (
            ((tcp(_SSH, _OTHER),), (tcp(1, 65535, peers=BASTION_SUBNET),), _ALL, _ALL),
            {_SSH, _OTHER},
        ),
        ((_ALL, (tcp(_SSH, peers="192.0.2.0/24"),), _ALL, _ALL), set()),
        ((_ALL, (Rule(("0.0.0.0/0",), "udp", (_SSH, _SSH)), Rule((), "tcp")), _ALL, _ALL), set()),
        ((_ALL, _ALL, _ALL, (tcp(_SSH, allow=False), *_ALL)), {_OTHER}),
        ((_ALL, _ALL, _ALL, (*_ALL, tcp(_SSH, allow=False))), {_SSH, _OTHER}),
        ((_ALL, _ALL, (tcp(32768, 60999, allow=False), *_ALL), _ALL), set()),
        ((_ALL, _ALL, (), _ALL), set()),
    ],
)
def test_the_kernel_evaluates_rules_as_we_do(
    vpc: Vpc, rules: tuple[tuple[Rule, ...] | None, ...], passing: set[int]
) -> None:
    """`rules`: out of the bastion, into the container, out of and into the container's subnet."""
    out, into, edge_out, edge_in = rules
    machines = [Gate(vpc.bastion, out, ()), Gate(vpc.node, (), into)]
    subnets = [Gate(NODE_SUBNETS[0], edge_out, edge_in)]
    said = {
        port
        for port in (_SSH, _OTHER)
        if packet_filter.lets_connect(machines, subnets, vpc.bastion, vpc.node, port)
    }
    packet_filter.switch(vpc.router, packet_filter.ruleset(machines, subnets))
    assert vpc.let_in(passing) == said == passing


def test_an_open_connection_survives_a_group_change_but_not_an_acl(vpc: Vpc) -> None:
    everything = [Gate(vpc.bastion, None, None), Gate(vpc.node, None, _ALL)]
    packet_filter.switch(vpc.router, packet_filter.ruleset(everything, []))
    client = vpc.dial(_LASTING)
    server, _ = vpc.servers[-1].accept()
    with client, server:
        closed = [Gate(vpc.node, None, ())]
        packet_filter.switch(vpc.router, packet_filter.ruleset(closed, []))
        client.sendall(b"x")
        server.settimeout(30)
        assert server.recv(1) == b"x"
        edge = [Gate(NODE_SUBNETS[0], _ALL, ())]
        packet_filter.switch(vpc.router, packet_filter.ruleset([], edge))
        client.sendall(b"y")
        server.settimeout(0.5)
        with pytest.raises(TimeoutError):
            server.recv(1)


def test_rules_that_nft_refuses_raise_and_change_nothing(vpc: Vpc) -> None:
    gate = Gate(vpc.node, None, ())
    packet_filter.switch(vpc.router, packet_filter.ruleset([gate], []))
    with pytest.raises(OSError, match="nft: "):
        packet_filter.switch(vpc.router, "nonsense")
    assert vpc.let_in(set()) == set()


def test_without_nft_there_is_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_filter, "program", lambda: None)
    monkeypatch.setenv("PATH", "/nowhere")
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        assert not packet_filter.works(own)
    finally:
        os.close(own)
