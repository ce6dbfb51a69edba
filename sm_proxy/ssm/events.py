"""The events that `Channel.events` returns."""

from __future__ import annotations

from dataclasses import dataclass

from sm_proxy.ssm.handshake import Encryption


@dataclass(frozen=True)
class Opened:
    """The handshake is complete, or left out: then the version is empty. Bytes may flow."""

    agent_version: str
    multiplexed: bool
    customer_message: str


@dataclass(frozen=True)
class KeyWanted:
    """The agent wants the stream encrypted: answer with `provide_key` or `refuse_key`."""

    encryption: Encryption


@dataclass(frozen=True)
class PortRefused:
    """The agent could not connect to the target (flag ConnectToPortError)."""


@dataclass(frozen=True)
class AgentText:
    """A text of the agent itself. It is not part of the target's bytes."""

    text: str


@dataclass(frozen=True)
class Closed:
    """The channel has ended. An empty reason means a clean end."""

    reason: str = ""


Event = Opened | KeyWanted | PortRefused | AgentText | Closed
