"""The handshake's documents: the agent's request and the client's answer.

Shapes: A: datachannel/datachannel.go:949-1036, A: contracts/model.go:360-379.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

SessionType = Literal["Port", "Standard_Stream"]
"""What a document's sessions are: bytes of a port, or a shell on a terminal."""
CLIENT_VERSION: Final = "1.2.677.0"
"""The client version that we report. smux needs 1.1.70 or later. Above 1.2.331.0 the agent switches
its smux keep-alive off, which would end idle streams
(A: session/plugins/port/port.go:42-43,90-104)."""

_MUX_ABOVE: Final = (3, 0, 196, 0)
_TERMINATE_FLAG_ABOVE: Final = (2, 3, 722, 0)
DOCUMENT_LIMIT: Final = 128 << 10
"""Largest document that is parsed, in bytes; real ones have a few hundred bytes."""
_SUCCESS, _FAILED, _UNSUPPORTED = 1, 2, 3


class HandshakeError(ValueError):
    """The agent's handshake cannot be understood."""


@dataclass(frozen=True)
class Request:
    """The agent's HandshakeRequest.

    Attributes:
        agent_version: four numbers with dots.
        actions: each with ActionType and ActionParameters, in the order to answer them.
    """

    agent_version: str
    actions: list[Mapping[str, Any]]

    @property
    def properties(self) -> Mapping[str, Any]:
        """The session's properties, such as portNumber, type and host."""
        found = _parameters(self.actions, "SessionType").get("Properties")
        return found if isinstance(found, dict) else {}

    @property
    def encryption(self) -> Encryption | None:
        """The KMS key the agent wants the stream encrypted with, if any."""
        parameters = _parameters(self.actions, "KMSEncryption")
        key = parameters.get("KMSKeyId")
        return Encryption(str(key), str(parameters.get("Challenge") or "")) if key else None

    @property
    def multiplexed(self) -> bool:
        """Whether the stream carries smux (P: portsession/portsession.go:67-86)."""
        return self.properties.get("type") == "LocalPortForwarding" and (
            _numbers(self.agent_version) > _MUX_ABOVE
        )

    @property
    def knows_terminate_flag(self) -> bool:
        """Whether the agent understands the flag TerminateSession (P: config/config.go:48-50).

        In a shell it acknowledges the flag and ignores it (A: session/shell/shell.go).
        """
        is_port = _parameters(self.actions, "SessionType").get("SessionType") == "Port"
        return is_port and _numbers(self.agent_version) > _TERMINATE_FLAG_ABOVE


@dataclass(frozen=True)
class Encryption:
    """The KMSEncryption action's parameters."""

    key_id: str
    challenge: str


@dataclass(frozen=True)
class Complete:
    """The agent's HandshakeComplete: a message of the account's owner, often empty."""

    customer_message: str = ""


@dataclass
class Answer:
    """Builds the HandshakeResponse, one result per action."""

    results: list[dict[str, Any]] = field(default_factory=list)

    def succeed(self, action: str, result: Any = None) -> None:
        """Report that the action was done."""
        self._add(action, _SUCCESS, result, "")

    def fail(self, action: str, reason: str) -> None:
        """Report that the action failed. The agent will end the session."""
        self._add(action, _FAILED, None, reason)

    def decline(self, action: str) -> None:
        """Report that we do not know the action. The agent will end the session."""
        self._add(action, _UNSUPPORTED, None, f"Unsupported action {action}")

    def encode(self) -> bytes:
        """The response's payload."""
        return json.dumps(
            {
                "ClientVersion": CLIENT_VERSION,
                "ProcessedClientActions": self.results,
                "Errors": [item["Error"] for item in self.results if item["Error"]] or None,
            }
        ).encode()

    def _add(self, action: str, status: int, result: Any, error: str) -> None:
        self.results.append(
            {
                "ActionType": action,
                "ActionStatus": status,
                "ActionResult": result,
                "Error": error,
            }
        )


def read_request(payload: bytes) -> Request:
    """Read a HandshakeRequest.

    Raises:
        HandshakeError: the payload is malformed.
    """
    document = read_document(payload)
    actions = document.get("RequestedClientActions")
    if not isinstance(actions, list) or not all(isinstance(item, dict) for item in actions):
        raise HandshakeError("the agent's handshake names no actions")
    return Request(str(document.get("AgentVersion", "")), actions)


def read_complete(payload: bytes) -> Complete:
    """Read a HandshakeComplete; its time is not used."""
    try:
        return Complete(str(read_document(payload).get("CustomerMessage") or ""))
    except HandshakeError:
        return Complete()


def read_document(payload: bytes) -> dict[str, Any]:
    """Read a JSON object that a peer sent.

    Raises:
        HandshakeError: it is not a JSON object, or it is too large or too deep.
    """
    if len(payload) > DOCUMENT_LIMIT:
        raise HandshakeError(f"a document of {len(payload)} bytes is too large")
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        raise HandshakeError("a document from the agent is not JSON") from None
    if not isinstance(document, dict):
        raise HandshakeError("a document from the agent is not a JSON object")
    return document


def _parameters(actions: list[Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    for action in actions:
        parameters = action.get("ActionParameters")
        if action.get("ActionType") == kind and isinstance(parameters, dict):
            return parameters
    return {}


def _numbers(version: str) -> tuple[int, ...]:
    """For comparison; a part that is not a number counts as 0."""
    parts = version.split(".")
    return tuple(int(part) if part.isdecimal() and len(part) < 10 else 0 for part in parts)
