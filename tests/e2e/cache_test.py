"""A second connection needs no lookups, and still finds a container that has moved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import Job, Lab, code_of, last_line

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
for process in /proc/[0-9]*; do  # first kill the process that would restart sshd
    tr '\\0' ' ' <$process/cmdline 2>/dev/null | grep -q "serve[.]sh $run" &&
        kill -9 ${process#/proc/}
done
kill -9 $(cat $run/sshd.pid)
"""


def lookups(lab: Lab, since: int) -> list[str]:
    """The lookups among the calls after the first `since` ones."""
    return [call["operation"] for call in lab.calls()[since:] if call["operation"] in LOOKUPS]


def warm(lab: Lab, host: str, **options: Any) -> list[str]:
    """The calls of a connection that finds everything in the cache.

    On a busy machine, a late greeting or a late confirmation of the end causes more: up to three
    connections are tried, until one makes a single call.
    """

    made: list[str] = []
    for _ in range(3):
        before = len(lab.calls())
        lab.ok(host, "true", **options)
        made = [call["operation"] for call in lab.calls()[before:]]
        if len(made) == 1:
            break
    return made


def second_node(job: Job) -> dict[str, Any]:
    """The fields of the second node's marker; in the first node's marker they lead to it."""
    marker = job.marker("algo-2")
    return {name: marker[name] for name in ("addresses", "port", "host_keys")}


def test_a_warm_connection_calls_only_start_session(lab: Lab) -> None:
    named = {"SM_PROXY_BASTION": lab.environment["SM_PROXY_LAB_BASTION"]}
    lab.forget()
    before = len(lab.calls())
    lab.ok(lab.host, "true", env=named)
    assert len(lookups(lab, before)) == 4
    assert warm(lab, lab.host, env=named) == ["StartSession"]
    lab.ok(lab.host, "true")
    assert warm(lab, lab.host) == ["StartSession"]


def test_a_container_that_has_moved_is_found(lab: Lab) -> None:
    job = lab.launch("moved", nodes=2)
    lab.ok(job.host, KILL_SSHD)
    job.claim(**second_node(job))
    assert lab.ok(job.host, "echo $SM_CURRENT_HOST") == b"algo-2\n"


def test_a_container_that_has_ended_is_reported_with_its_failure(lab: Lab) -> None:
    job = lab.launch("gone")
    lab.ok(job.host, KILL_SSHD)
    lab.control("set_status", job.name, "Uploading")
    lab.control("set_status", job.name, "Failed", failure_reason="AlgorithmError: exit code: 1")
    done = lab.ssh(job.host, "true")
    assert code_of(done) == "job-failed"


def test_a_silent_container_is_looked_up_again_during_the_wait(lab: Lab) -> None:
    job = lab.launch("silent", nodes=2)
    lab.ok(job.host, "kill -STOP $(cat ${SM_PROXY_RUN_DIR:-/run/sm-proxy}/sshd.pid)")
    job.claim(**second_node(job))
    assert lab.ok(job.host, "echo $SM_CURRENT_HOST") == b"algo-2\n"


def test_another_host_at_the_cached_address_is_looked_up_next_time(lab: Lab) -> None:
    job = lab.launch("taken", nodes=2)
    lab.ok(job.host, "true")
    lab.settle()
    shown = lab.warm("resolve", job.host, "--json")
    assert json.loads(shown.stdout)["data"]["cached"] is True
    # Change the cache: the second node's address, with the first node's keys.
    address, port = job.where("algo-2")
    for path in Path(lab.environment["SM_PROXY_CACHE_DIR"]).glob("jobs/*.json"):
        envelope = json.loads(path.read_text())
        if envelope["record"].get("address") == job.where()[0]:
            envelope["record"].update(address=address, port=port)
            path.write_text(json.dumps(envelope))
    refused = lab.ssh(job.host, "true")
    assert refused.returncode == 255
    assert b"HOST IDENTIFICATION HAS CHANGED" in refused.stderr
    assert code_of(refused) == "host-key-changed"
    assert "connect again" in last_line(refused)
    assert lab.ok(job.host, "echo $SM_CURRENT_HOST") == b"algo-1\n"
