"""Spaces that do not run, or that let no ssh in, are started; then plain ssh enters them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e import spaces
from tests.e2e.labs import SM_PROXY, Lab, running
from tests.e2e.spaces import Space


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """An account of its own: other tests list what theirs has, by name and all of it."""
    with running(tmp_path_factory.mktemp("starts"), "--empty") as made:
        yield made


@pytest.fixture(scope="module")
def domain(lab: Lab) -> str:
    return spaces.make_domain(lab, "starts")


def refusal(space: Space) -> str:
    """The last line of a `sm-proxy wait` that must end at once."""
    done = space.lab.warm("wait", space.host)
    assert done.returncode == 1
    return done.stderr.decode().splitlines()[-1]


def start_and_interrupt(space: Space) -> str:
    """What `start` says in its last line after a ^C, while the app is Pending."""
    words = (*SM_PROXY, "start", space.host, "--yes")
    with space.lab.popen(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as starting:
        assert starting.stderr is not None
        while b"Pending" not in (line := starting.stderr.readline()):
            assert line, "it has ended"
        starting.send_signal(signal.SIGINT)
        rest = starting.stderr.read().decode()
    assert starting.returncode == 130
    return rest.splitlines()[-1]


def test_a_stopped_space_is_started_and_stopped_again(lab: Lab, domain: str) -> None:
    space = spaces.make_space(lab, domain, "Stopped")
    failed = lab.ssh(space.host, "true").stderr.decode()
    assert "sm-proxy: space-stopped: " in failed
    assert f"sm-proxy start {space.host}" in failed
    assert refusal(space).startswith("sm-proxy: space-stopped: ")
    with lab.faults(studio={"app_ms": 600_000}):
        interrupted = start_and_interrupt(space)
    assert f"for the rest, run: sm-proxy start {space.host}" in interrupted
    started = lab.warm("start", space.host, "--json")
    assert started.returncode == 0, started.stderr
    data = json.loads(started.stdout)["data"]
    assert (data["instance_type"], data["changed"]) == ("ml.t3.large", False)
    assert lab.ok(space.host, "id", "-un") == b"sagemaker-user\n"
    ready = lab.warm("wait", space.host)
    assert ready.stdout.startswith(f"ready: {space.host} is Stopped".encode()), ready
    stopped = lab.warm("stop", space.host, "--yes")
    assert stopped.returncode == 0, stopped.stderr
    assert space.app()["Status"] == "Deleted"
    assert refusal(space).startswith("sm-proxy: space-stopped: ")


def test_a_running_space_is_restarted_only_if_the_user_says_so(lab: Lab, domain: str) -> None:
    space = spaces.make_space(
        *(lab, domain, "closed"), remote_access=False, instance_type="ml.t3.medium"
    )
    space.start_app("ml.t3.medium")
    before = space.app()["CreationTime"]
    assert refusal(space).startswith("sm-proxy: remote-access-off: ")
    asked = lab.warm("start", space.host)
    assert asked.returncode == 2
    assert b"WARNING: the running app is ended first" in asked.stderr
    assert space.app()["CreationTime"] == before
    started = lab.warm("start", space.host, "--yes")
    assert started.returncode == 0, started.stderr
    assert lab.ok(space.host, "echo in") == b"in\n"
    assert space.app()["ResourceSpec"]["InstanceType"] == "ml.t3.large"
    again = lab.warm("start", space.host)
    assert (again.returncode, again.stderr) == (0, b"")
    assert b"already" in again.stdout


def test_an_app_that_cannot_start_says_why(lab: Lab, domain: str) -> None:
    space = spaces.make_space(lab, domain, "full", instance_type="ml.m5.large")
    with lab.faults(studio={"app_failure": "InsufficientInstanceCapacity"}):
        failed = lab.warm("start", space.host, "--yes")
    assert failed.returncode == 1
    line = failed.stderr.decode().splitlines()[-1]
    assert line.startswith("sm-proxy: job-failed: ")
    assert "no free instance" in line
    assert lab.warm("start", space.host, "--yes").returncode == 0
    space.stop_app()
