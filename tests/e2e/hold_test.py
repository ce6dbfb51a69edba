"""`go` and `done` end the time windows of a job from the laptop."""

from __future__ import annotations

import json

import pytest

from tests.e2e.labs import Job, Lab, code_of
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = pytest.mark.e2e


@pytest.fixture
def pair(lab: Lab) -> Job:
    """A job of two nodes."""
    return lab.launch("pair", nodes=2)


def touched(job: Job, node: str, word: str) -> bool:
    return not job.lab.ssh(f"{job.host}.{node}", f'test -e "$SM_PROXY_RUN_DIR/{word}"').returncode


def test_go_with_the_name_of_a_job_reaches_all_its_nodes(lab: Lab, pair: Job) -> None:
    done = lab.warm("go", pair.host, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    assert data["job"] == pair.name
    assert [(node["node"], node["told"]) for node in data["nodes"]] == [
        ("algo-1", True),
        ("algo-2", True),
    ]
    assert [node["window"] for node in data["nodes"]] == ["none", "none"]
    assert touched(pair, "algo-1", "go")
    assert touched(pair, "algo-2", "go")


def test_done_with_the_name_of_a_node_reaches_only_that_node(lab: Lab, pair: Job) -> None:
    done = lab.warm("done", f"{pair.host}.algo-2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith("algo-2  ")
    assert touched(pair, "algo-2", "done")
    assert not touched(pair, "algo-1", "done")


def test_go_fails_with_the_code_of_the_connection(lab: Lab) -> None:
    refused = lab.warm("go", "sm-no-such-job", "--json")
    assert (refused.returncode, code_of(refused)) == (1, "job-not-found")
    assert json.loads(refused.stdout)["error"]["code"] == "job-not-found"
    with lab.faults(deny=["ssm:StartSession"]):
        refused = lab.warm("go", f"{lab.host}.algo-1")
    assert (refused.returncode, code_of(refused)) == (1, "access-denied")
    await_true(lambda: not lab.sessions(), 60, lab.sessions)


def test_a_job_waits_for_go_and_stays_after_its_failure_until_done(lab: Lab) -> None:
    windows = {"SM_PROXY_WAIT": "10m", "SM_PROXY_KEEP_FAILURE": "10m"}
    words = ("/opt/sm-proxy/entrypoint.sh", "/bin/sh", "-c", "echo the program runs; exit 9")
    job = lab.launch("held", *words, environment=windows)

    def shows(text: str) -> None:
        await_true(lambda: text in job.log(), 60, job.log)

    shows("waiting up to 10m for a user to connect")
    shows("sm_proxy_marker")
    assert "the program runs" not in job.log()
    done = lab.sm_proxy("go", job.host)
    assert done.returncode == 0, done.stderr
    shows("the program ended with exit code 9; the container stays for 600 s")
    assert "\nthe program runs\n" in job.log()
    assert job.status() == "Training"
    assert lab.ok(job.host, "echo $SM_CURRENT_HOST") == b"algo-1\n"
    done = lab.warm("done", job.host)
    assert done.returncode == 0, done.stderr
    job.until("Failed")
    reason = lab.python(f"answer = describe({job.name!r})['FailureReason']")
    assert "exit code: 9" in reason.lower()


@only_in_soak
def test_done_ends_a_job_of_which_a_node_has_ended(lab: Lab) -> None:
    ready = "until [ -e ${SM_PROXY_RUN_DIR:-/run/sm-proxy}/ready ]; do sleep 0.1; done"
    program = f"{ready}; [ $SM_CURRENT_HOST = algo-1 ] || exit 9"
    words = ("/opt/sm-proxy/entrypoint.sh", "/bin/sh", "-c", program)
    job = lab.launch("half", *words, nodes=2, environment={"SM_PROXY_KEEP_FAILURE": "10m"})
    await_true(lambda: "the container stays for 600 s" in job.log(), 60, job.log)
    gone = f"{job.host}.algo-1"
    await_true(lambda: lab.ssh(gone, "true").returncode == 255, 60)
    done = lab.warm("done", job.host, "--json")
    assert done.returncode == 0, done.stderr.decode()
    nodes = json.loads(done.stdout)["data"]["nodes"]
    assert [(node["window"], node["told"]) for node in nodes] == [("ended", False), ("keep", True)]
    job.until("Failed")


def test_stop_ends_a_job_that_is_kept(lab: Lab) -> None:
    kept = {"SM_PROXY_KEEP_FAILURE": "10m"}
    words = ("/opt/sm-proxy/entrypoint.sh", "/bin/sh", "-c", "exit 9")
    job = lab.launch("forgotten", *words, environment=kept)
    # On a busy machine the program may end before the marker is in the log.
    wanted = ("the container stays for 600 s", '{"sm_proxy_marker"')
    await_true(lambda: all(word in job.log() for word in wanted), 60, job.log)
    jobs = json.loads(lab.warm("list", "--check", "--json").stdout)["data"]["jobs"]
    [listed] = [item for item in jobs if item["job"] == job.name]
    assert listed["kept"] is True, listed
    refused = lab.warm("stop", job.host)
    assert (refused.returncode, code_of(refused)) == (2, "usage")
    done = lab.sm_proxy("stop", job.host, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"]["stopped"] is True
    job.until("Stopped")
    again = lab.warm("stop", job.host, "--yes")
    assert again.returncode == 0, again.stderr
    assert b"has ended already" in again.stdout
