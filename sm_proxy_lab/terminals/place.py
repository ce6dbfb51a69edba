"""What a terminal is, and what it is made of."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sm_proxy_lab.account import Account, Vpc
from sm_proxy_lab.aws.control_client import ControlClient
from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines.network import NetnsNetwork, Network

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Site:
    """The lab around a terminal.

    Attributes:
        folder: for the terminals' files.
        network: the lab's network.
        account: calls the AWS endpoint.
        control: calls its control plane.
        vpc: the VPC of the lab's job.
    """

    folder: Path
    network: Network
    account: Account
    control: ControlClient
    vpc: Vpc

    def namespaces(self) -> NetnsNetwork:
        """The network, if it is made of namespaces.

        Raises:
            LabError: it is not.
        """
        if not isinstance(self.network, NetnsNetwork):
            raise LabError("it needs network namespaces: run the lab as root, in netns mode")
        return self.network


@dataclass(frozen=True)
class Terminal:
    """A terminal.

    Attributes:
        netns: descriptor of its network namespace; None for the lab's own network.
        files: directory -> name -> text, or a directory's content: what a program finds there.
        variables: changes to the environment; None removes a variable.
        servers: what the supervisor serves: a listening socket and a handler each.
    """

    netns: int | None = None
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, str | None] = field(default_factory=dict)
    servers: Sequence[tuple[socket.socket, Handler]] = ()
