"""Sessions that are kept for the next connection, with the real ssh and the lab's agent."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.labs import Lab
from tests.waits import await_true

pytestmark = pytest.mark.e2e


@pytest.fixture
def served(lab: Lab) -> Iterator[Lab]:
    """The lab of a user whose daemon serves, and whose cache knows the container."""
    with lab.with_daemon(SM_PROXY_KEEP_SESSION="5m") as found:
        found.ok(found.host, "true")
        await_true(lambda: b"socket" in found.sm_proxy("daemon", "status").stdout, 60)
        found.settle()
        yield found


def started(lab: Lab) -> int:
    return [call["operation"] for call in lab.calls()].count("StartSession")


def open_ssh(lab: Lab, command: str, **options: Any) -> subprocess.Popen[bytes]:
    """An ssh whose command has printed its first line."""
    process = lab.popen(
        "ssh", "-F", lab.config, lab.host, command,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


def test_a_second_ssh_makes_no_call(served: Lab) -> None:
    served.ok(served.host, "true")
    calls = len(served.calls())
    assert served.ok(served.host, "echo kept") == b"kept\n"
    assert served.calls()[calls:] == []
    (session,) = served.sessions()
    (keeper,) = served.keepers()
    status = served.sm_proxy("daemon", "status").stdout.decode()
    assert session in status
    before = started(served)
    served.ok(served.host, "true", env={"AWS_ACCESS_KEY_ID": "AKIAOTHER"})
    assert (started(served), len(served.sessions())) == (before + 1, 2)
    os.kill(keeper, signal.SIGTERM)
    await_true(lambda: session not in served.sessions(), 60, served.sessions)
    assert served.ok(served.host, "echo again") == b"again\n"
