"""Runs doctor in a lab and reads its answer."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.e2e.labs import Lab, code_of

ON_LOOPBACK = {"security-groups", "network-acls"}
"""Doctor skips these checks on a loopback address, which nothing filters."""


def examined(
    lab: Lab, *words: str, env: dict[str, str] | None = None
) -> tuple[dict[str, Any], int]:
    return shown(lab.warm("doctor", "--json", "--ssh-config", lab.config, *words, env=env))


def shown(done: subprocess.CompletedProcess[bytes]) -> tuple[dict[str, Any], int]:
    """Return the JSON data and the exit status of a doctor run."""
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    envelope = json.loads(done.stdout)
    if cause := envelope["data"]["cause"]:
        assert (envelope["error"]["code"], code_of(done)) == (cause, cause)
    return envelope["data"], done.returncode


def failed_of(data: dict[str, Any]) -> list[str]:
    return [item["id"] for item in data["checks"] if item["result"] == "failed"]


def is_healthy(lab: Lab, *words: str) -> None:
    """Check that ssh works and that doctor finds nothing, except an earlier failure."""
    lab.ok("-oBatchMode=yes", lab.host, "true")
    data, status = examined(lab, *words)
    wrong = {item["id"] for item in data["checks"] if item["result"] != "passed"}
    assert wrong - {"last-failure"} <= (set() if lab.netns else ON_LOOPBACK)
    assert (data["cause"], status) == (None, 0)
