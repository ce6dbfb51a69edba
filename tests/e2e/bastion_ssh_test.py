"""The route through the bastion's own sshd."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sm_proxy_lab.aws.ssm.documents import REMOTE_HOST
from tests.e2e.labs import Lab, code_of, last_line
from tests.soak import SOAK, cases
from tests.waits import await_true

pytestmark = pytest.mark.e2e

FORCED = {"SM_PROXY_ROUTE": "bastion-ssh"}
MIB = 1 << 20
FAST = {"pause_ms": 0}
"""The agent does not sleep after each kilobyte."""


@pytest.fixture(autouse=True)
def no_pinned_key(lab: Lab) -> Iterator[None]:
    """Each test meets the bastion for the first time: tests of other modules pin its key, too."""
    keys = lab.state / "bastion-keys"
    shutil.rmtree(keys, ignore_errors=True)
    yield
    shutil.rmtree(keys, ignore_errors=True)


def pinned(lab: Lab) -> Path:
    return lab.state / "bastion-keys" / lab.environment["SM_PROXY_LAB_BASTION"]


def documents(lab: Lab, before: int) -> list[str]:
    """The operations of the calls since `before`."""
    return [call["operation"] for call in lab.calls()[before:]]


def test_bastion_ssh_is_used_where_the_remote_host_document_is_denied(lab: Lab) -> None:
    before = len(lab.calls())
    with lab.faults(deny_documents=[REMOTE_HOST]):
        done = lab.ssh(lab.host, "hostname")
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (0, b"algo-1\n"), said
    [line] = [line for line in said.splitlines() if "connecting by" in line]
    assert f"document/{REMOTE_HOST}" in line
    assert line.endswith("connecting by bastion-ssh instead")
    assert "its console output names it" in said
    assert {"SendSSHPublicKey", "GetConsoleOutput"} <= set(documents(lab, before))
    lab.settle()
    logs = (lab.state / "connections").glob("*.jsonl")
    log = max(logs, key=lambda path: path.stat().st_mtime).read_text().splitlines()[-1]
    assert f"bastion-ssh {lab.environment['SM_PROXY_LAB_BASTION']}" in log


def test_bytes_pass_both_ways_while_sshd_exchanges_keys_and_the_websocket_is_cut(lab: Lab) -> None:
    data = os.urandom((64 if SOAK else 6) * MIB)
    faults = {**FAST, "bastion_rekey_kib": 512, "cut_client_after_bytes": 2 * MIB}
    with lab.faults(gateway=faults):
        done = lab.ssh("-oCompression=no", lab.host, "cat", stdin=data, env=FORCED, timeout=300)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("faults", "code", "words"),
    cases(
        [
            ({"bastion_forwarding": False}, "unsupported", "refuses to forward"),
            ({"instance_connect": False}, "key-refused", "pushed for ec2-user"),
            ({"bastion_sshd": False}, "sshd-silent", "port 22"),  # ten seconds
        ],
        [
            ({"bastion_forwarding": False}, "unsupported", "refuses to forward"),
            ({"instance_connect": False}, "key-refused", "pushed for ec2-user"),
        ],
    ),
)
def test_a_fault_of_the_bastion_is_named(
    lab: Lab, faults: dict[str, Any], code: str, words: str
) -> None:
    with lab.faults(gateway=faults):
        done = lab.ssh(lab.host, "true", env=FORCED)
    assert (code_of(done), words in last_line(done)) == (code, True), done.stderr


def test_a_port_on_which_nothing_listens_is_named_in_sshds_words(lab: Lab) -> None:
    done = lab.ssh("-p", "9", lab.host, "true", env=FORCED)
    assert code_of(done) == "connect-refused"
    assert "port 9: Connection refused. Is sshd running in the container" in last_line(done)


def test_a_changed_host_key_is_refused_and_no_other_route_tried(lab: Lab) -> None:
    assert lab.ssh(lab.host, "true", env=FORCED).returncode == 0
    before = len(lab.calls())
    with lab.faults(deny_documents=[REMOTE_HOST], gateway={"bastion_host_keys": 1}):
        done = lab.ssh(lab.host, "true")
    assert code_of(done) == "host-key-changed"
    assert str(pinned(lab)) in last_line(done)
    assert documents(lab, before).count("StartSession") == 2
    pinned(lab).unlink()
    with lab.faults(gateway={"bastion_host_keys": 1}):
        done = lab.ssh(lab.host, "true", env=FORCED)
    assert "not among those that it printed on its console" in last_line(done)
    assert not pinned(lab).exists()
    with lab.faults(console="rebooted", gateway={"bastion_host_keys": 1}):
        done = lab.ssh(lab.host, "true", env=FORCED)
    assert (done.returncode, b"at its first use" in done.stderr) == (0, True)


def test_a_killed_ssh_leaves_no_session_and_no_connection_on_the_bastion(lab: Lab) -> None:
    process = lab.popen(
        "ssh", "-F", lab.config, lab.host, "echo up; cat /dev/zero",
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=FORCED,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert forwarded(lab)
        process.kill()
    lab.settle()
    await_true(lambda: not lab.sessions(), 60, lab.sessions)
    await_true(lambda: not forwarded(lab), 60)


def forwarded(lab: Lab) -> bytes:
    """The connections from the bastion's sshd to the containers."""
    if not lab.netns:
        return b"none is visible"
    words = lab.environment["SM_PROXY_LAB_ON_BASTION"].split()
    done = subprocess.run(
        [*words, "ss", "-Htn", "dst", "10.0.0.0/16"], check=True, capture_output=True
    )
    return done.stdout
