"""Sessions that are kept for the next connection, with the real ssh and the lab's agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from sm_proxy.local.threads import Background
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


def await_sessions(lab: Lab, number: int) -> list[str]:
    """Wait until so many sessions are open: on a busy machine, one may end a moment later."""
    await_true(lambda: len(lab.sessions()) == number, 60, lambda: (lab.sessions(), lab.calls()))
    return lab.sessions()


def open_ssh(lab: Lab, command: str, **options: Any) -> subprocess.Popen[bytes]:
    """An ssh whose command has printed its first line."""
    process = lab.popen(
        "ssh", "-F", lab.config, "-o", "Compression=no", lab.host, command,
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
    (session,) = await_sessions(served, 1)
    (keeper,) = served.keepers()
    status = served.sm_proxy("daemon", "status").stdout.decode()
    assert session in status
    before = started(served)
    served.ok(served.host, "true", env={"AWS_ACCESS_KEY_ID": "AKIAOTHER"})
    await_sessions(served, 2)
    assert started(served) == before + 1
    os.kill(keeper, signal.SIGTERM)
    await_true(lambda: session not in served.sessions(), 60, served.sessions)
    assert served.ok(served.host, "echo again") == b"again\n"


def test_a_killed_keeper_costs_a_connection_and_leaves_no_session(served: Lab) -> None:
    process = open_ssh(served, "echo up; cat")
    (session,) = await_sessions(served, 1)
    (keeper,) = served.keepers()
    os.kill(keeper, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 255
    assert b"sm-proxy: session-lost: " in err
    assert served.ok(served.host, "echo again") == b"again\n"
    await_true(lambda: session not in served.sessions(), 60, served.sessions)
    await_sessions(served, 1)


def test_beside_bulk_another_session_is_opened_and_a_cut_ends_none(served: Lab) -> None:
    process = open_ssh(served, "echo up; exec cat /dev/zero")
    came = [0]

    def drain() -> None:
        assert process.stdout is not None
        while data := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
            assert not data.strip(b"\0")
            came[0] += len(data)

    draining = Background(drain)
    await_true(lambda: came[0] > 1 << 20, 60, lambda: came)
    assert served.ok(served.host, "echo light") == b"light\n"
    await_sessions(served, 2)
    assert served.cut_clients() == 2
    so_far = came[0]
    await_true(lambda: came[0] > so_far + (1 << 20), 60, lambda: came)
    assert served.ok(served.host, "echo light") == b"light\n"
    await_sessions(served, 2)
    process.kill()
    process.communicate(timeout=60)
    draining.result()
    served.settle()
    logs = (served.state / "connections").glob("*.jsonl")  # other tests have other hosts
    log = max(logs, key=lambda path: path.stat().st_mtime)
    *_, light, bulk = map(json.loads, log.read_text().splitlines())
    assert (light["kept"], bulk["kept"]) == (True, True)
    assert bulk["resumes"] >= 1  # a busy machine may lose the new connection, too
