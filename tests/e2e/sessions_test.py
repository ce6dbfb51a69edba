"""The next run with the same account ends a session that a killed helper has left open."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.labs import Lab
from tests.waits import await_true

pytestmark = pytest.mark.e2e


def records(lab: Lab) -> list[Path]:
    return list((lab.state / "open-sessions").glob("*.json"))


@pytest.fixture
def orphan(lab: Lab) -> Iterator[str]:
    """The id of a session whose helper was killed."""
    process = lab.popen(
        "ssh", "-F", lab.config, lab.host, "echo up; sleep 600",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    (session_id,) = lab.sessions()
    (pid,) = lab.helpers()
    os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    lab.settle()
    assert lab.sessions() == [session_id]
    assert len(records(lab)) == 1
    yield session_id
    if session_id in lab.sessions():
        lab._gateway(op="close", session=session_id)
    for path in records(lab):
        with contextlib.suppress(OSError):
            path.unlink()


def test_the_next_connection_ends_it_without_a_delay(lab: Lab, orphan: str) -> None:
    before = len(lab.calls())
    lab.ok(f"{lab.host}.2", "true")
    await_true(lambda: orphan not in lab.sessions(), 60, lab.sessions)
    await_true(lambda: not records(lab), 60)
    operations = [call["operation"] for call in lab.calls()[before:]]
    assert operations.index("StartSession") < operations.index("TerminateSession")


def test_a_long_connection_ends_it(lab: Lab, orphan: str) -> None:
    process = lab.popen(
        "ssh", "-F", lab.config, lab.host, "echo up; sleep 600", stdout=subprocess.PIPE
    )
    try:
        await_true(lambda: orphan not in lab.sessions(), 60, lab.sessions)
        assert process.poll() is None
        await_true(lambda: len(records(lab)) == 1, 60)
    finally:
        process.terminate()
        process.communicate()
    await_true(lambda: not records(lab), 60)


def test_a_command_ends_it(lab: Lab, orphan: str) -> None:
    assert lab.sm_proxy("list").returncode == 0
    await_true(lambda: orphan not in lab.sessions(), 60, lab.sessions)
    await_true(lambda: not records(lab), 60)


def test_another_account_does_not_end_it(lab: Lab, orphan: str) -> None:
    done = lab.sm_proxy("list", env={"AWS_ACCESS_KEY_ID": "AKIAOTHERACCOUNT0000"})
    assert done.returncode == 0, done.stderr
    assert orphan in lab.sessions()
    assert len(records(lab)) == 1


def test_a_denied_terminate_session_is_tried_once_and_is_not_an_error(
    lab: Lab, orphan: str
) -> None:
    with lab.faults(deny=["ssm:TerminateSession"]):
        done = lab.ssh(lab.host, "true")
        assert (done.returncode, done.stderr) == (0, b"")
        await_true(lambda: not records(lab), 60)
    assert orphan in lab.sessions()


RELAY = """
import socket, sys, threading
to, listener = int(sys.argv[1]), socket.create_server(("127.0.0.1", 0))
def copy(source, sink):
    while data := source.recv(1 << 16):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
print(listener.getsockname()[1], flush=True)
while True:
    near, _ = listener.accept()
    far = socket.create_connection(("127.0.0.1", to))
    print("relayed", flush=True)
    for pair in ((near, far), (far, near)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""
STREAM = """
from urllib.parse import urlsplit
names = {"host": ["10.0.0.1"], "portNumber": ["22"], "localPortNumber": ["0"]}
given = client("ssm").start_session(
    Target=%r, DocumentName="AWS-StartPortForwardingSessionToRemoteHost", Parameters=names)
client("ssm").terminate_session(SessionId=given["SessionId"])
answer = urlsplit(given["StreamUrl"]).port
"""


def test_the_stream_goes_to_a_private_endpoint(lab: Lab) -> None:
    port = lab.python(STREAM % lab.environment["SM_PROXY_LAB_BASTION"])
    relay = lab.popen(sys.executable, "-c", RELAY, str(port), stdout=subprocess.PIPE)
    try:
        assert relay.stdout is not None
        own = f"http://127.0.0.1:{relay.stdout.readline().decode().strip()}"
        done = lab.ok(lab.host, "echo ok", env={"AWS_ENDPOINT_URL_SSMMESSAGES": own})
        assert done == b"ok\n"
    finally:
        relay.kill()
        said, _ = relay.communicate(timeout=60)
    assert said == b"relayed\n"
