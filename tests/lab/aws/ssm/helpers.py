"""Requests for a session to a host behind an instance."""

from __future__ import annotations

from typing import Any

REMOTE = "AWS-StartPortForwardingSessionToRemoteHost"


def remote(target: str, **parameters: list[str]) -> dict[str, Any]:
    given = {"host": ["10.0.1.2"], "portNumber": ["22"]} | parameters
    return {"Target": target, "DocumentName": REMOTE, "Parameters": given}
