"""`sm-proxy logs` against the lab's AWS: followed to the job's end, long, and cut off."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.e2e.labs import LOG_GROUP, SM_PROXY, Lab
from tests.soak import SOAK, only_in_soak
from tests.waits import await_true

pytestmark = pytest.mark.e2e

_FAULTS: tuple[dict[str, object], ...] = (
    {"throttle": {"logs:GetLogEvents": 5}},
    {"fail": {"logs:*": 3}},
    {"fail": {"sagemaker:*": 2}},
    {"empty_log_pages": 2},
    {"log_delay_ms": 2000},
)
_WITH_PEAK = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
sys.stderr.write(f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}\\n")
sys.exit(status)
"""
"""The peak that a process is told of its child includes its own memory from before the `exec`."""
_MANY = 1_000_000 if SOAK else 30_000


def test_logs_follow_a_job_to_its_end(lab: Lab) -> None:
    words = ("sh", "-c", 'for i in 1 2 3; do echo "$SM_CURRENT_HOST $i"; sleep 1; done; exit 3')
    job = lab.launch("short", *words, nodes=2)
    done = lab.sm_proxy("logs", "-f", "--all-nodes", job.host)
    lines = done.stdout.decode().splitlines()
    assert sorted(lines) == sorted(
        f"algo-{node} | algo-{node} {number}" for node in (1, 2) for number in (1, 2, 3)
    )
    assert done.returncode == 1
    last = done.stderr.decode().splitlines()[-1]
    assert last.startswith(f"sm-proxy: job-failed: training job {job.name} has failed: ")


def test_a_long_log_is_streamed_in_little_memory(lab: Lab) -> None:
    job = lab.launch("long", "sh", "-c", "echo first; sleep 600")
    await_true(lambda: "first" in job.log(), 60, job.log)
    (stream,) = lab.python(f"answer = streams({job.name + '/'!r})")
    lab.control("filler", LOG_GROUP, stream, _MANY)
    words = (sys.executable, "-c", _WITH_PEAK, *SM_PROXY, "logs", job.host)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with lab.popen(*words, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        count = sum(1 for _ in process.stdout)
        said = process.stderr.read()
    assert (process.returncode, count) == (0, 1 + _MANY), said
    assert int(said.split()[-1]) < 150_000  # KB


def test_a_reader_that_stops_early_ends_it_quietly(lab: Lab) -> None:
    """Also if nothing more is written that could not be delivered."""
    job = lab.launch("cut", "sh", "-c", "echo 1; sleep 1; echo 2; sleep 600")
    done = lab.run("bash", "-c", f"{' '.join(SM_PROXY)} logs -f {job.host} | head -n 2")
    assert (done.stdout, done.stderr) == (b"1\n2\n", b"")


def test_a_line_that_comes_late_is_shown_once_and_an_interrupt_ends_it(lab: Lab) -> None:
    job = lab.launch("endless", "sh", "-c", "echo first; sleep 600")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = lab.popen(*SM_PROXY, "logs", "-f", job.host, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == b"first\n"
    (stream,) = lab.python(f"answer = streams({job.name + '/'!r})")
    now_ms = int(time.time() * 1000)
    for message, at_ms in (("second", now_ms), ("late", now_ms - 30_000), ("third", now_ms + 1)):
        lab.control("put_logs", LOG_GROUP, stream, [{"timestamp": at_ms, "message": message}])
        assert process.stdout.readline().decode() == f"{message}\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 130


@only_in_soak
def test_each_line_is_shown_once_in_spite_of_faults_and_a_restart(lab: Lab) -> None:
    """Lines come late and in disorder, calls fail, and an instance replaces the first one."""
    random_ = random.Random(18)  # noqa: S311 - a test
    job = lab.launch("faulty", "sh", "-c", "trap exit TERM; echo first; sleep 600 & wait")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = lab.popen(*SM_PROXY, "logs", "-f", job.host, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == b"first\n"
    (stream,) = lab.python(f"answer = streams({job.name + '/'!r})")
    sent = list[str]()
    for number in range(400):
        if number == 200:
            stream = f"{job.name}/algo-1-{int(time.time()) + 1}"
        if number % 20 == 0:
            lab.control("faults", **random_.choice(_FAULTS))
        sent.append(f"line {number}")
        at_ms = int(time.time() * 1000) - random_.choice([0, 0, 100, 20_000])
        event = {"timestamp": at_ms, "message": sent[-1]}
        lab.control("put_logs", LOG_GROUP, stream, [event])
        time.sleep(0.1)
    lab.control("clear_faults")
    job.stop()
    out, _ = process.communicate(timeout=120)
    shown = Counter(line for line in out.decode().splitlines() if line.startswith("line "))
    assert shown == Counter(sent)
