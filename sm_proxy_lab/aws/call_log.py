"""The file that lists the API calls."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from sm_proxy_lab.aws.http.call import Call

# Only the requests of calls that read, or that name a session, are recorded: the others may
# hold secrets (a job's environment, a parameter's value).
_HARMLESS = re.compile(
    r"(Describe|List|Filter|Get|Stop|StartSession|ResumeSession|TerminateSession)"
)
_SERVICES = {"sagemaker", "logs", "ssm", "ec2"}


class CallLog:
    """One JSON line per API call, in the order the answers were ready."""

    def __init__(self, path: Path) -> None:
        # With O_APPEND, one write is one whole line even beside other writers, and needs no flush.
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def add(self, call: Call, *, started: float, status: int, size: int, error: str | None) -> None:
        """Record a call, before its answer is sent.

        Args:
            call: The call.
            started: When it arrived, seconds of the epoch.
            status: The HTTP status of the answer.
            size: The length of the answer's body in bytes.
            error: The error code, if it was refused.
        """
        line: dict[str, Any] = {
            "time": round(started, 6),
            "service": call.service,
            "operation": call.operation,
            "bytes": size,
            "status": status,
            "region": call.region,
        }
        if error:
            line["error"] = error
        if call.params and call.service in _SERVICES and _HARMLESS.match(call.operation):
            line["request"] = call.params
        os.write(self._fd, json.dumps(line, separators=(",", ":")).encode() + b"\n")
