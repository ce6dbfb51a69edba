"""Where a port session goes: its parameters, the forbidden addresses, the dial."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sm_proxy_lab.gateway import SPACE_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sm_proxy_lab.gateway.agents import Agent

P = TypeVar("P", bound=asyncio.BaseProtocol)

SSH_DOCUMENT = "AWS-StartSSHSession"
SHELL_DOCUMENT = "SSM-SessionManagerRunShell"
REMOTE_HOST_DOCUMENT = "AWS-StartPortForwardingSessionToRemoteHost"
LOCAL_PORT_FORWARDING = "LocalPortForwarding"

# Instance metadata, VPC DNS, time sync, Windows activation.
DENIED = [
    *(f"169.254.169.{last}" for last in (254, 253, 123, 250, 251)),
    *(f"fd00:ec2::{last}" for last in (254, 253, 123, 240)),
]

_SYN_S = 130.0
_REASONS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ETIMEDOUT: "connection timed out",
}


class SessionError(Exception):
    """The session cannot go on; its text becomes the Output of channel_closed."""


class Destination(NamedTuple):
    """What a session may connect to; `agent` makes the sockets, if it is in a container."""

    addresses: list[str]
    port: str
    dropped: bool = False
    agent: Agent | None = None


def properties(document: str, parameters: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the session properties that a document makes from its parameters."""
    names = ["portNumber"]
    if document != SSH_DOCUMENT:
        names.append("localPortNumber")
    if document == REMOTE_HOST_DOCUMENT:
        names.append("host")
    found = {name: parameters[name][0] for name in names if parameters.get(name)}
    if document == SSH_DOCUMENT:
        found.setdefault("portNumber", "22")
    else:
        found["type"] = LOCAL_PORT_FORWARDING
    return found


async def destination(
    port: str, host: str, vpc_cidr: str | None, agent: Agent | None = None
) -> Destination:
    """Find the addresses behind the properties of a session.

    Raises:
        SessionError: The port is missing, or the host has no address or a forbidden one.
    """
    if not port:
        raise SessionError("Port number is empty in session properties. map[]")
    if not host:
        if agent:
            return Destination(agent.addresses, agent.ports.get(port, port), agent=agent)
        return Destination(["::1", "127.0.0.1"], port)
    addresses = await _look_up(host)
    denied = {ipaddress.ip_address(address) for address in (*DENIED, *_reserved(vpc_cidr))}
    for address in addresses:
        if ipaddress.ip_address(address) in denied:
            raise SessionError(f"Forwarding to IP address {host} is forbidden.")
    return Destination(addresses, port, agent=agent)


async def dial(
    where: Destination, factory: Callable[[], P], delay: float
) -> tuple[asyncio.Transport, P]:
    """Connect to the first address that answers.

    Raises:
        OSError: No address answers. The message is the agent's, about the first address.
    """
    if delay:
        await asyncio.sleep(delay)
    if where.dropped:
        # The kernel resends an unanswered SYN for about two minutes.
        await asyncio.sleep(_SYN_S)
        raise OSError(_dial_text(where.addresses[0], where.port, TimeoutError(errno.ETIMEDOUT, "")))
    first: OSError | None = None
    for address in where.addresses:
        try:
            transport, protocol = await _connect(where, address, factory)
        except (OSError, ValueError, OverflowError) as error:  # noqa: PERF203 - try the next
            first = first or OSError(_dial_text(address, where.port, error))
        else:
            return transport, protocol
    raise first or OSError("missing address")


async def _connect(
    where: Destination, address: str, factory: Callable[[], P]
) -> tuple[asyncio.Transport, P]:
    loop = asyncio.get_running_loop()
    if where.agent is None:
        return await loop.create_connection(factory, address, int(where.port))
    if where.agent.serves_ssh and where.port == SPACE_PORT:
        return await loop.create_connection(factory, sock=await where.agent.open_ssh())
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = await where.agent.open_socket(family)
    try:
        await loop.sock_connect(made, (address, int(where.port)))
        return await loop.create_connection(factory, sock=made)
    except BaseException:
        made.close()
        raise


def _dial_text(address: str, port: str, error: Exception) -> str:
    shown = f"[{address}]" if ":" in address else address
    number = getattr(error, "errno", None)
    if number is None:
        return f"dial tcp: address {port}: invalid port"
    reason = _REASONS.get(number) or os.strerror(number).lower()
    return f"dial tcp {shown}:{port}: connect: {reason}"


async def _look_up(host: str) -> list[str]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return [host]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SessionError(f"lookup {host}: no such host") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _reserved(vpc_cidr: str | None) -> list[str]:
    if not vpc_cidr:
        return []
    network = ipaddress.ip_network(vpc_cidr, strict=False)
    return [*(str(network[index]) for index in range(4)), str(network[-1])]
