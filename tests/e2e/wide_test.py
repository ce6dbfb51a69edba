"""Many nodes, a long log or a late marker do not cost many more calls."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import LOG_GROUP, Job, Lab, running
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = pytest.mark.e2e

NODES = 64
ONCE = (
    "DescribeTrainingJob",
    "DescribeSubnets",
    "DescribeInstances",
    "DescribeInstanceInformation",
)
COLD = [
    "DescribeInstanceInformation",
    "DescribeInstances",
    "DescribeLogStreams",
    "DescribeSubnets",
    "DescribeTrainingJob",
    "GetLogEvents",
    "StartSession",
]
_ALL_S = 240
_EMPTY_PAGES = 2


def cold_connect(job: Job) -> list[dict[str, Any]]:
    """The calls of one connection that finds nothing in the cache."""
    job.lab.forget()
    before = len(job.lab.calls())
    assert job.lab.ok(job.host, "echo $SM_CURRENT_HOST") == b"algo-1\n"
    return job.lab.calls()[before:]


def operations(calls: list[dict[str, Any]]) -> list[str]:
    """The operations that were called, sorted: some calls run concurrently."""
    return sorted(call["operation"] for call in calls)


@only_in_soak  # it needs both cores at once
def test_many_connections_at_once_share_their_calls(tmp_path: Path) -> None:
    with running(tmp_path, "--nodes", str(NODES)) as lab:
        nodes = [f"algo-{number}" for number in range(1, NODES + 1)]
        started = [
            lab.popen(
                "ssh", "-F", lab.config, f"{lab.host}.{node}", "echo $SM_CURRENT_HOST",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for node in nodes
        ]  # fmt: skip
        try:
            ended = [process.communicate(timeout=_ALL_S) for process in started]
        finally:
            for process in started:
                process.kill()
        assert [err.decode() for _, err in ended] == [""] * NODES
        assert [out.decode().strip() for out, _ in ended] == nodes
        assert [process.returncode for process in started] == [0] * NODES
        calls = lab.calls()
        counted = Counter(call["operation"] for call in calls)
        assert {name: counted[name] for name in ONCE} == dict.fromkeys(ONCE, 1)
        asked = Counter(
            (call["operation"], call["request"].get("logStreamNamePrefix", ""),
             call["request"].get("logStreamName", ""))
            for call in calls
            if call["service"] == "logs"
        )  # fmt: skip
        assert set(asked.values()) == {1}, asked
        assert counted["DescribeLogStreams"] <= NODES
        assert counted["GetLogEvents"] <= NODES
        assert counted["StartSession"] == NODES
        lab.settle()
        await_true(lambda: not lab.sessions(), 60, lab.sessions)


def test_a_million_lines_cost_no_more_calls_than_a_hundred(lab: Lab) -> None:
    found = []
    for lines in (100, 1_000_000):
        job = lab.launch("chatty")
        (stream,) = lab.python(f"answer = streams({job.name!r})")  # its first line is the marker
        lab.control("filler", LOG_GROUP, stream, lines)
        found.append(cold_connect(job))
    few, many = found
    assert operations(few) == operations(many) == COLD
    sizes = [sum(call["bytes"] for call in calls) for calls in found]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


def test_a_marker_behind_500_lines_is_found_with_two_reads(lab: Lab) -> None:
    job = lab.launch("late")
    newer = job.newer_stream()
    lab.control("filler", LOG_GROUP, newer, 500)
    job.claim(newer)
    calls = cold_connect(job)
    assert operations(calls) == sorted([*COLD, "GetLogEvents"])
    reads = [call["request"] for call in calls if call["operation"] == "GetLogEvents"]
    assert [read["limit"] for read in reads] == [100, 1000]


def test_empty_pages_before_the_marker_are_read(lab: Lab) -> None:
    with lab.faults(empty_log_pages=_EMPTY_PAGES):
        calls = cold_connect(Job(lab, lab.job))
    assert operations(calls) == sorted([*COLD, *["GetLogEvents"] * _EMPTY_PAGES])


def test_a_late_marker_is_waited_for(lab: Lab) -> None:
    """The container's log stream exists before its lines do."""
    job = lab.launch("late")
    marker, newer = json.dumps(job.marker()), job.newer_stream()
    lab.control("put_logs", LOG_GROUP, newer, [])
    before = operations(lab.calls()).count("GetLogEvents")
    with ThreadPoolExecutor() as pool:
        connecting = pool.submit(cold_connect, job)
        await_true(lambda: operations(lab.calls()).count("GetLogEvents") > before, 60)
        job.print(marker, newer)
        calls = connecting.result()
    reads = [call for call in calls if call["operation"] == "GetLogEvents"]
    assert len(reads) > 1
    assert {read["request"]["logStreamName"] for read in reads} == {newer}
    assert operations(calls).count("StartSession") == 1
