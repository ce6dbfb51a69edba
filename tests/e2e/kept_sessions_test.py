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
        found.await_daemon()
        found.settle()
        yield found


def started(lab: Lab) -> int:
    return [call["operation"] for call in lab.calls()].count("StartSession")


def kept(lab: Lab, *, in_use: bool = False) -> dict[str, int]:
    """The open sessions that are kept, or that a connection uses, each with its keeper's pid."""
    daemons = json.loads(lab.sm_proxy("daemon", "status", "--json").stdout)["data"]["daemons"]
    found = {
        each["session"]: each["pid"]
        for daemon in daemons
        for each in daemon["sessions"]
        if each["streams"] or not in_use
    }
    return {session: found[session] for session in lab.sessions() if session in found}


def open_ssh(lab: Lab, command: str, *words: str, **options: Any) -> subprocess.Popen[bytes]:
    """An ssh whose command has printed its first line."""
    process = lab.popen(
        "ssh", "-F", lab.config, *words, "-o", "Compression=no", lab.host, command,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


def open_kept(lab: Lab, command: str, *words: str) -> tuple[subprocess.Popen[bytes], str, int]:
    """The same in a session that is kept, with its id and the keeper's pid.

    On a busy machine an ssh may do without the daemon, or get no answer from a keeper in time.
    """
    while True:
        process = open_ssh(lab, command, *words)
        for session, keeper in kept(lab, in_use=True).items():
            return process, session, keeper
        process.kill()
        process.communicate(timeout=60)
        lab.settle()


def test_a_second_ssh_makes_no_call(served: Lab) -> None:
    def shares() -> bool:
        calls = len(served.calls())
        assert served.ok(served.host, "echo kept") == b"kept\n"
        return served.calls()[calls:] == []

    await_true(shares, 60, served.calls)  # a busy machine may do without the daemon at first
    session, keeper = next(iter(kept(served).items()))
    before = started(served)
    served.ok(served.host, "true", env={"AWS_ACCESS_KEY_ID": "AKIAOTHER"})
    assert started(served) > before
    os.kill(keeper, signal.SIGTERM)
    await_true(lambda: session not in served.sessions(), 60, served.sessions)
    assert served.ok(served.host, "echo again") == b"again\n"


def test_a_killed_keeper_costs_a_connection_and_leaves_no_session(served: Lab) -> None:
    # Pumped, so that it is not left to the keeper, which then says nothing.
    process, session, keeper = open_kept(served, "echo up; cat", "-oProxyUseFdpass=no")
    os.kill(keeper, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 255
    assert b"sm-proxy: session-lost: " in err

    def ended() -> bool:
        """Whether the next ssh has ended it; the one after that, if the service was too slow."""
        assert served.ok(served.host, "echo again") == b"again\n"
        served.settle()
        return session not in served.sessions()

    await_true(ended, 60, served.calls)


def test_beside_bulk_another_session_is_opened_and_a_cut_ends_none(served: Lab) -> None:
    process, bulk, _ = open_kept(served, "echo up; exec cat /dev/zero")
    came = [0]

    def drain() -> None:
        assert process.stdout is not None
        while data := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
            assert not data.strip(b"\0")
            came[0] += len(data)

    draining = Background(drain)
    await_true(lambda: came[0] > 1 << 20, 60, lambda: came)

    def apart() -> bool:
        assert served.ok(served.host, "echo light") == b"light\n"
        return len(kept(served)) > 1

    await_true(apart, 60, served.calls)
    assert served.cut_clients() > 1
    so_far = came[0]
    await_true(lambda: came[0] > so_far + (1 << 20), 60, lambda: came)
    assert served.ok(served.host, "echo light") == b"light\n"
    assert bulk in served.sessions()
    process.kill()
    process.communicate(timeout=60)
    draining.result()
    served.settle()
    logs = (served.state / "connections").glob("*.jsonl")  # other tests have other hosts
    log = max(logs, key=lambda path: path.stat().st_mtime)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    (of_bulk,) = [record for record in records if record["session"] == bulk]
    assert of_bulk["kept"]
    assert of_bulk["resumes"] >= 1
