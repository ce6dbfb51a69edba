"""The second connection asks nothing, and a container that has moved is found all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import Lab, code_of, last_line, running
from tests.e2e.refusal_test import claim, marker

pytestmark = pytest.mark.e2e

LOOKUPS = {
    "DescribeTrainingJob",
    "DescribeLogStreams",
    "GetLogEvents",
    "DescribeSubnets",
    "DescribeInstances",
    "DescribeInstanceInformation",
}
KILL_SSHD = """
run=${SM_PROXY_RUN_DIR:-/run/sm-proxy}
for process in /proc/[0-9]*; do  # first what would start it again
    tr '\\0' ' ' <$process/cmdline 2>/dev/null | grep -q "serve[.]sh $run" &&
        kill -9 ${process#/proc/}
done
kill -9 $(cat $run/sshd.pid)
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Lab]:
    """A lab of its own, with two nodes."""
    with running(tmp_path, "--nodes", "2") as lab:
        yield lab


def lookups(lab: Lab, since: int) -> list[str]:
    """The look-ups among the calls since then."""
    return [call["operation"] for call in lab.calls()[since:] if call["operation"] in LOOKUPS]


def warm(lab: Lab, **options: Any) -> list[str]:
    """What a connection calls that finds everything in the cache.

    The least of several: where the container's greeting or the end's confirmation is late, which a
    busy machine can make it, there is more to call.
    """

    def one() -> list[str]:
        before = len(lab.calls())
        lab.ok(lab.host, "true", **options)
        return [call["operation"] for call in lab.calls()[before:]]

    return min((one() for _ in range(3)), key=len)


def test_cold_and_warm(own: Lab) -> None:
    named = {"SM_PROXY_BASTION": own.environment["SM_PROXY_LAB_BASTION"]}
    own.ok(own.host, "true", env=named)
    assert len(lookups(own, 0)) == 4
    assert warm(own, env=named) == ["StartSession"]
    own.ok(own.host, "true")
    assert warm(own) == ["StartSession"]


def test_a_container_that_has_moved(own: Lab) -> None:
    own.ok(own.host, KILL_SSHD)
    shown = own.sm_proxy("resolve", f"{own.host}.2", "--json")
    second = json.loads(shown.stdout)["data"]
    line = marker(second["address"], second["port"], second["user"], second["host_keys"][0])
    claim(own, line)
    moved = own.ok(own.host, "echo $SM_CURRENT_HOST")
    assert moved == b"algo-2\n"


def test_a_container_that_is_gone(own: Lab) -> None:
    own.ok(own.host, KILL_SSHD)
    own.control("set_status", own.job, "Uploading")
    own.control("set_status", own.job, "Failed", failure_reason="AlgorithmError: exit code: 1")
    done = own.ssh(own.host, "true")
    assert code_of(done) == "job-failed"


def test_a_silent_container_is_looked_up_beside_the_wait(own: Lab) -> None:
    own.ok(own.host, "true")
    own.ok(own.host, "kill -STOP $(cat ${SM_PROXY_RUN_DIR:-/run/sm-proxy}/sshd.pid)")
    shown = own.sm_proxy("resolve", f"{own.host}.2", "--json")
    second = json.loads(shown.stdout)["data"]
    line = marker(second["address"], second["port"], second["user"], second["host_keys"][0])
    claim(own, line)
    assert own.ok(own.host, "echo $SM_CURRENT_HOST") == b"algo-2\n"


def test_another_host_at_the_remembered_address_is_asked_about_next_time(own: Lab) -> None:
    own.ok(own.host, "true")
    own.settle()
    shown = own.sm_proxy("resolve", own.host, "--json")
    assert json.loads(shown.stdout)["data"]["cached"] is True
    # The cache says: the second node's container, with the first one's keys.
    second = json.loads(own.sm_proxy("resolve", f"{own.host}.2", "--json").stdout)["data"]
    for path in Path(own.environment["SM_PROXY_CACHE_DIR"]).glob("jobs/*.json"):
        envelope = json.loads(path.read_text())
        if envelope["record"].get("node") == "algo-1":
            envelope["record"].update(address=second["address"], port=second["port"])
            path.write_text(json.dumps(envelope))
    refused = own.ssh(own.host, "true")
    assert refused.returncode == 255
    assert b"HOST IDENTIFICATION HAS CHANGED" in refused.stderr
    assert code_of(refused) == "host-key-changed"
    assert "connect again" in last_line(refused)
    assert own.ok(own.host, "echo $SM_CURRENT_HOST") == b"algo-1\n"
