"""The agent's part of the handshake: its messages, and which answers it accepts."""

from __future__ import annotations

import json
from typing import Any

from sm_proxy_lab.gateway import wire

FAILED = "Encountered error while initiating handshake. "
TIMED_OUT = (
    f"{FAILED}Handshake timed out. Please ensure that you have the latest version of the "
    "session manager plugin."
)
NO_DATA_KEY = "Fetching data key failed: Unable to retrieve data key"
KEY_ID = "alias/lab"
CHALLENGE = "bGFi"


def request(
    agent_version: str, session_type: str, properties: dict[str, str] | None, *, encrypt: bool
) -> bytes:
    """Make the HandshakeRequest of a session.

    Args:
        agent_version: the agent's version.
        session_type: `Port` or `Standard_Stream`.
        properties: of a port session, else None.
        encrypt: whether to ask for encryption with a KMS key.
    """
    described = {"SessionType": session_type, "Properties": properties}
    actions = [{"ActionType": "SessionType", "ActionParameters": described}]
    if encrypt:
        key = {"KMSKeyId": KEY_ID, "Challenge": CHALLENGE}
        actions.append({"ActionType": "KMSEncryption", "ActionParameters": key})
    return _json({"AgentVersion": agent_version, "RequestedClientActions": actions})


def complete(nanoseconds: int, customer_message: str) -> bytes:
    """Make the HandshakeComplete."""
    return _json({"HandshakeTimeToComplete": nanoseconds, "CustomerMessage": customer_message})


def refusal(response: dict[str, Any]) -> str:
    """Return why the client's answer ends the session; an empty text if it does not.

    Raises:
        MalformedError: `ProcessedClientActions` is not a list of objects.
    """
    actions = response.get("ProcessedClientActions") or []
    if not isinstance(actions, list) or not all(isinstance(action, dict) for action in actions):
        raise wire.MalformedError("ProcessedClientActions is not a list of objects")
    for action in actions:
        kind, status = action.get("ActionType"), action.get("ActionStatus")
        if status != 1:
            error = action.get("Error", "")
            return f"{FAILED}{kind} failed on client with status {status} error: {error}"
        if kind == "KMSEncryption":
            # The lab does not support encryption. The real agent would fetch the data key here.
            return FAILED + NO_DATA_KEY
    return ""


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
