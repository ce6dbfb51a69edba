"""The file that records all API calls."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from sm_proxy_lab.aws.http.call import Call

# We record parameters only for calls that read, stop a job or name a session. Other requests may
# hold secrets, such as a job's environment or the value of a parameter.
_HARMLESS = re.compile(
    r"(Describe|List|Filter|Get|Stop|StartSession|ResumeSession|TerminateSession)"
)
_SERVICES = {"sagemaker", "logs", "ssm", "ec2"}


class CallLog:
    """Writes one JSON line per API call, in the order of the answers."""

    def __init__(self, path: Path) -> None:
        # With O_APPEND, a line in one write stays whole even with several writers.
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def add(self, call: Call, *, started: float, status: int, size: int, error: str | None) -> None:
        """Record a call, before its answer is sent.

        Args:
            call: The call.
            started: When it arrived, in seconds of the epoch.
            status: The HTTP status of the answer.
            size: The length of the answer's body in bytes.
            error: The error code, if the call was refused.
        """
        line: dict[str, Any] = {
            "time": round(started, 6),
            "service": call.service,
            "operation": call.operation,
            "bytes": size,
            "status": status,
            "region": call.region,
        }
        if call.via:
            line["via"] = call.via
        if call.identity and call.identity.entity:
            line["caller"] = call.identity.entity
            line["needed"] = call.needed
        if error:
            line["error"] = error
        if call.params and call.service in _SERVICES and _HARMLESS.match(call.operation):
            line["request"] = call.params
        os.write(self._fd, json.dumps(line, separators=(",", ":")).encode() + b"\n")
