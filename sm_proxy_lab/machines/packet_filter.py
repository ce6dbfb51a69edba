"""Security groups and network ACLs as packet filter rules (nftables) in the lab's router.

A VPC checks security groups at a machine's interface, and network ACLs at a subnet's edge. In the
lab each machine has its own cable to the router, so the router sees the same packets. As in a VPC,
a packet that is not allowed is silently dropped, and a dial hangs. Open connections survive a
change of security groups, but not of ACLs.
"""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sm_proxy_lab.machines import namespaces

_TABLE: Final = "ip sm_proxy_lab"
_LINK_LOCAL: Final = "ip daddr 169.254.0.0/16 accept"
"""Metadata and credentials: a VPC filters them by no group."""
_EPHEMERAL: Final = 40000
"""A client's port, the destination of answers. Linux uses 32768 to 60999."""


@dataclass(frozen=True)
class Rule:
    """Allows a kind of packets, or denies it if `allow` is false.

    Attributes:
        peers: addresses or blocks of the other side.
        protocol: by name or number; empty for any.
        ports: the first and last destination port; None for any.
    """

    peers: tuple[str, ...]
    protocol: str = ""
    ports: tuple[int, int] | None = None
    allow: bool = True

    def fits(self, peer: str, port: int) -> bool:
        """Whether the rule matches TCP to `port`, with `peer` on the other side."""
        if self.protocol not in {"", "tcp"}:
            return False
        if self.ports and not self.ports[0] <= port <= self.ports[1]:
            return False
        where = ipaddress.ip_address(peer)
        return any(where in ipaddress.ip_network(block, strict=False) for block in self.peers)


@dataclass(frozen=True)
class Gate:
    """Rules for a machine or a subnet. The first match decides; no match means drop.

    Attributes:
        where: a machine's address, or a subnet's CIDR block.
        egress: rules for packets that leave; None if they are not filtered.
        ingress: rules for packets that arrive; None if they are not filtered.
    """

    where: str
    egress: tuple[Rule, ...] | None
    ingress: tuple[Rule, ...] | None

    def holds(self, address: str) -> bool:
        """Whether an address is behind this gate."""
        return ipaddress.ip_address(address) in ipaddress.ip_network(self.where)


def lets_connect(
    machines: Sequence[Gate], subnets: Sequence[Gate], source: str, target: str, port: int
) -> bool:
    """Whether TCP from `source` to `port` of `target` passes, and its answers too."""

    def passes(gates: Sequence[Gate], start: str, end: str, to: int) -> bool:
        out = [gate.egress for gate in gates if gate.holds(start) and not _within(gate, start, end)]
        into = [gate.ingress for gate in gates if gate.holds(end) and not _within(gate, start, end)]
        ways = [(rules, end) for rules in out] + [(rules, start) for rules in into]
        return all(rules is None or _first(rules, peer, to) for rules, peer in ways)

    there = passes(machines, source, target, port) and passes(subnets, source, target, port)
    return there and passes(subnets, target, source, _EPHEMERAL)


def _within(gate: Gate, start: str, end: str) -> bool:
    return gate.holds(start) and gate.holds(end)


def _first(rules: Sequence[Rule], peer: str, port: int) -> bool:
    return next((rule.allow for rule in rules if rule.fits(peer, port)), False)


def ruleset(
    machines: Sequence[Gate], subnets: Sequence[Gate], *, guards_services: bool = False
) -> str:
    """Return the gates as input for nft(8), which replaces all earlier rules.

    Args:
        machines: gates of machines.
        subnets: gates of subnets.
        guards_services: whether egress rules also apply to what the router itself serves.
    """
    chains = [*_chains("machine", machines), *_chains("subnet", subnets)]
    # ACLs are stateless; security groups let packets of open connections pass.
    edges, ports = list(_jumps("subnet", subnets)), list(_jumps("machine", machines))
    known = "ct state established,related accept"
    into = ports if guards_services else [line for line in ports if line.startswith("ip daddr")]
    hooks = [
        *_chain("forward { type filter hook forward priority 0;", [*edges, known, *ports]),
        *_chain("input { type filter hook input priority 0;", [known, _LINK_LOCAL, *into]),
    ]
    head = [f"table {_TABLE}", f"delete table {_TABLE}", f"table {_TABLE} {{"]
    return "\n".join([*head, *chains, *hooks, "}", ""])


def _chains(kind: str, gates: Sequence[Gate]) -> Iterator[str]:
    for number, gate in enumerate(gates):
        for way, side, rules in (("out", "daddr", gate.egress), ("in", "saddr", gate.ingress)):
            if rules is not None:
                lines = [_line(rule, side) for rule in rules if rule.peers]
                yield from _chain(f"{kind}_{number}_{way} {{", [*lines, "drop"])


def _chain(head: str, lines: Sequence[str]) -> list[str]:
    return [f"chain {head}", *(f"  {line}" for line in lines), "}"]


def _line(rule: Rule, side: str) -> str:
    words = [f"ip {side} {{ {', '.join(rule.peers)} }}"]
    if rule.ports and rule.protocol in {"tcp", "udp"}:
        words.append(f"{rule.protocol} dport {rule.ports[0]}-{rule.ports[1]}")
    elif rule.protocol:
        words.append(f"ip protocol {rule.protocol}")
    return " ".join([*words, "return" if rule.allow else "drop"])


def _jumps(kind: str, gates: Sequence[Gate]) -> Iterator[str]:
    """Jumps to the chains of each gate, but not for packets that stay within a subnet."""
    for number, gate in enumerate(gates):
        name, where = f"{kind}_{number}", gate.where
        if gate.egress is not None:
            yield f"ip saddr {where} ip daddr != {where} jump {name}_out"
        if gate.ingress is not None:
            yield f"ip daddr {where} ip saddr != {where} jump {name}_in"


def program() -> str | None:
    """The path of nft(8); None if it is not installed."""
    return shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")


def switch(netns: int, rules: str) -> None:
    """Replace all rules of a network namespace in one step.

    Raises:
        OSError: nft refuses the rules, or the kernel does not support them.
    """
    with namespaces.entered(netns):
        done = subprocess.run(
            [program() or "nft", "-f", "-"],
            input=rules.encode(),
            capture_output=True,
            check=False,
        )
    if done.returncode:
        raise OSError(f"nft: {done.stderr.decode(errors='replace').strip()}")


def works(netns: int) -> bool:
    """Try whether packets can be filtered in a network namespace."""
    gate = Gate("192.0.2.1", (), (Rule(("192.0.2.0/24",), "tcp", (1, 2)),))
    try:
        switch(netns, ruleset([gate], [gate]))
        switch(netns, ruleset([], []))
    except OSError:
        return False
    return True
