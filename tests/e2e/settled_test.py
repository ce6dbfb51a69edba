"""Connections that are left to their keeper, with the real ssh and the lab's agent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.labs import Lab
from tests.soak import SOAK
from tests.waits import await_true

pytestmark = pytest.mark.e2e

SIZE = (50 if SOAK else 3) << 20
STEPS = 40


@pytest.fixture
def served(lab: Lab) -> Iterator[Lab]:
    """The lab of a user whose daemon keeps sessions."""
    # No hint: on a busy machine, much data is slow enough for it.
    with lab.with_daemon(SM_PROXY_KEEP_SESSION="5m", SM_PROXY_TRANSFER_HINT="0") as found:
        found.ok(found.host, "true")
        found.await_daemon()
        found.settle()
        yield found


def open_ssh(lab: Lab, command: str, *options: str) -> subprocess.Popen[bytes]:
    """An ssh whose command has printed its first line."""
    process = lab.popen(
        "ssh", "-F", lab.config, *options, "-o", "Compression=no", lab.host, command,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    return process


def is_settled(lab: Lab) -> bool:
    return bool(lab.carriers()) and not lab.helpers()


def becomes_settled(lab: Lab) -> bool:
    """Whether the connection is left to a keeper; on a busy machine, it may not have one."""
    with contextlib.suppress(AssertionError):
        await_true(lambda: is_settled(lab), 20)
    return is_settled(lab)


def settled_ssh(lab: Lab, command: str) -> subprocess.Popen[bytes]:
    """An ssh that is left to its keeper."""
    while True:
        process = open_ssh(lab, command)
        if becomes_settled(lab):
            return process
        process.kill()
        process.communicate(timeout=60)
        lab.settle()


def log(lab: Lab) -> dict[str, Any]:
    """The last record of the connections."""
    paths = (lab.state / "connections").glob("*.jsonl")
    newest = max(paths, key=lambda path: path.stat().st_mtime)
    found: dict[str, Any] = json.loads(newest.read_text().splitlines()[-1])
    return found


def is_settled_meanwhile(lab: Lab, data: bytes) -> bool:
    """Have data echoed; returns whether the connection was left to its keeper meanwhile."""
    process = open_ssh(lab, "echo up; exec cat")
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, looked, step = process.stdin, threading.Event(), len(data) // STEPS + 1

    def write() -> None:
        for at in range(0, len(data), step):
            stdin.write(data[at : at + step])
            stdin.flush()
            looked.wait(0.1)

    writer = threading.Thread(target=write)
    writer.start()
    came = hashlib.sha256()
    left, settled = len(data), False
    while left and (some := process.stdout.read(min(left, 1 << 16))):
        came.update(some)
        left -= len(some)
        if left < len(data) // 2 and not looked.is_set():
            settled = becomes_settled(lab)
            looked.set()
    writer.join(60)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 0
    assert came.digest() == hashlib.sha256(data).digest()
    lab.settle()
    return settled


def test_no_byte_is_lost_while_a_connection_is_left_to_its_keeper(served: Lab) -> None:
    data = os.urandom(SIZE)
    while not is_settled_meanwhile(served, data):
        pass
    record = log(served)
    assert (record["code"], record["kept"]) == ("ok", True)
    assert min(record["up"], record["down"]) > SIZE


def test_a_settled_connection_has_no_process_and_is_shown(served: Lab) -> None:
    process = settled_ssh(served, "echo up; exec cat")
    (daemon,) = json.loads(served.sm_proxy("daemon", "status", "--json").stdout)["data"]["daemons"]
    assert [each["host"] for each in daemon["connections"]] == [served.host]
    assert [each["pid"] for each in daemon["connections"]] == served.carriers()
    assert process.communicate(b"bytes", timeout=60) == (b"bytes", b"")
    served.settle()
    assert log(served)["code"] == "ok"


def test_the_failure_of_a_settled_connection_has_the_usual_words(served: Lab) -> None:
    process = settled_ssh(served, "echo up; exec cat")
    (keeper,) = served.carriers()
    os.kill(keeper, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 255
    line = "sm-proxy: session-lost: the process that holds the session was ended"
    assert err.decode().splitlines()[0].startswith(line)
    await_true(lambda: log(served)["code"] == "session-lost", 60, lambda: log(served))
    kept = json.loads((served.state / "last-error.json").read_text())
    assert kept["line"].startswith(line)
    assert "connect" in kept["arguments"]
