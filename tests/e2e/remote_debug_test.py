"""The route `remote-debug`: ssh into jobs without a VPC and without a bastion.

`routes_test.py` tries scp, sftp, rsync and forwarding over it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import Job, Lab, code_of, last_line
from tests.fakes import HOST_KEY
from tests.lab.conftest import needs_root
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def job(lab: Lab) -> Iterator[Job]:
    """A job of two nodes outside of any VPC, with RemoteDebug on."""
    found = lab.launch("debug", nodes=2, in_vpc=False, remote_debug=True, keep=True)
    yield found
    found.stop()


def shown(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """The data of a command's JSON."""
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)["data"]
    return found


def test_every_node_is_entered_without_an_address(lab: Lab, job: Job) -> None:
    before = len(lab.calls())
    for node in ("algo-1", "algo-2"):
        assert lab.ok(f"{job.host}.{node}", "echo $SM_CURRENT_HOST").decode().strip() == node
    called = {call["operation"] for call in lab.calls()[before:] if call["service"] == "ec2"}
    assert called == set()
    data = shown(lab.warm("resolve", job.host, "--json"))
    assert (data["address"], data["vpc_id"], data["source"]) == (None, None, "marker")


def test_a_second_connection_makes_one_call(lab: Lab, job: Job) -> None:
    lab.ok(job.host, "true")
    lab.settle()
    before = len(lab.calls())
    assert lab.ssh(job.host, "true").stderr == b""
    lab.settle()
    called = {call["operation"] for call in lab.calls()[before:]}
    assert called - {"TerminateSession"} == {"StartSession"}


def test_an_upload_survives_a_cut(lab: Lab, job: Job, tmp_path: Path) -> None:
    ml = lab.environment["SM_PROXY_LAB_ML_DIR"]
    source = tmp_path / "up"
    source.write_bytes(secrets.token_bytes(1 << 20))
    before = len(lab.calls())
    with lab.faults(gateway={"cut_client_after_bytes": 1 << 19}):
        sent = lab.run("scp", "-qF", lab.config, str(source), f"{job.host}:{ml}/up")
    assert sent.returncode == 0, sent.stderr
    assert "ResumeSession" in {call["operation"] for call in lab.calls()[before:]}
    there = lab.ok(job.host, f"sha256sum {ml}/up").split()[0].decode()
    assert there == hashlib.sha256(source.read_bytes()).hexdigest()


def test_an_agent_that_is_away_for_a_moment_is_waited_for(lab: Lab, job: Job) -> None:
    """The container is cached, so the job is described again: it may have ended."""
    lab.ok(job.host, "true")
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with lab.faults(gateway={"agent_connect_s": 1e6}):
        before = len(lab.calls())
        ssh = lab.popen(
            "ssh", "-F", lab.config, "-oConnectTimeout=60", job.host, "echo in", **pipes
        )
        assert ssh.stderr is not None
        assert b"for the agent in the container of" in ssh.stderr.readline()
        assert "DescribeTrainingJob" in {call["operation"] for call in lab.calls()[before:]}
    assert ssh.communicate(timeout=60)[0] == b"in\n"


def test_the_commands_know_the_route(lab: Lab, job: Job) -> None:
    assert lab.warm("wait", job.host, "--timeout", "60s").returncode == 0
    listed = shown(lab.warm("list", "--check", "--json"))["jobs"]
    assert [item["reachable"] for item in listed if item["job"] == job.name] == [True]
    inspected = lab.warm("inspect", job.host, "--json")
    assert inspected.returncode == 0, inspected.stderr.decode()


def test_doctor_examines_the_agent(lab: Lab, job: Job) -> None:
    checks = {
        check["id"]: check
        for check in shown(lab.warm("doctor", f"{job.host}.algo-2", "--json"))["checks"]
    }
    assert checks["remote-debug"]["reason"] == "the agent in algo-2 is connected"
    assert checks["remote-debug-role"]["result"] == "passed"
    assert checks["login"]["result"] == "passed"
    assert [name for name, check in checks.items() if check["result"] == "failed"] == []


def test_a_user_without_ec2_and_bastion_gets_in(lab: Lab) -> None:
    """The job is in a VPC, but this user may not look at it."""
    job = lab.launch("debug-vpc", remote_debug=True)
    with lab.faults(deny=["ec2:DescribeSubnets", "ec2:DescribeInstances"]):
        assert lab.ok(job.host, "echo $SSH_CONNECTION").startswith(b"127.0.0.1 ")
        assert shown(lab.warm("doctor", job.host, "--json"))["cause"] is None


def test_host_keys_are_as_strict_as_on_any_route(lab: Lab) -> None:
    job = lab.launch("debug-key", in_vpc=False, remote_debug=True)
    job.claim(host_keys=[HOST_KEY])
    refused = lab.ssh(job.host, "true")
    assert refused.returncode != 0
    assert code_of(refused) == "host-key-changed"


@only_in_soak
def test_a_user_who_is_connected_keeps_the_container(lab: Lab) -> None:
    """The keep window counts connections by their address: the agent's is 127.0.0.1."""
    program = "while [ ! -e ${SM_PROXY_RUN_DIR:-/run/sm-proxy}/over ]; do sleep 0.1; done; exit 3"
    words = ("/opt/sm-proxy/entrypoint.sh", "/bin/sh", "-c", program)
    kept: dict[str, str | None] = {"SM_PROXY_KEEP_CONNECTED": "1h"}
    if lab.netns:  # nothing but the agent reaches the server then
        kept["SM_PROXY_LISTEN"] = "127.0.0.1"
    job = lab.launch("debug-kept", *words, environment=kept, in_vpc=False, remote_debug=True)
    done = lab.warm("wait", job.host, "--timeout", "60s")
    assert done.returncode == 0, done.stderr.decode()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    say = 'echo in; touch "$SM_PROXY_RUN_DIR/over"; cat'
    ssh = lab.popen("ssh", "-F", lab.config, job.host, say, **pipes)
    try:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"in\n"
        await_true(lambda: "a user is connected: the container stays" in job.log(), 60, job.log)
        assert job.status() == "Training"
    finally:
        ssh.communicate()
    done = lab.warm("done", job.host)
    job.until("Failed")


def test_remote_debug_of_a_running_job_is_switched_on_until_it_ends(lab: Lab) -> None:
    job = lab.launch("debug-later", in_vpc=False)
    refused = lab.ssh(job.host, "true")
    assert code_of(refused) == "no-vpc"
    assert f"sm-proxy enable-remote-debug {job.name}" in last_line(refused)
    done = lab.warm("enable-remote-debug", job.name)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines()[-1] == f"ssh {job.host}"
    assert lab.ok(job.host, "echo in") == b"in\n"
    again = shown(lab.warm("enable-remote-debug", job.host, "--json"))
    assert (again["changed"], again["connected"]) == (False, True)
    lab.ok(job.host, "true")  # so it is cached
    job.stop()
    job.until("Stopped")
    ended = lab.ssh(job.host, "true")
    assert code_of(ended) == "job-ended"
    assert b"waiting" not in ended.stderr


@needs_root
def test_a_failed_job_is_relaunched_without_a_vpc(lab: Lab) -> None:
    registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
    name = lab.unused("debug-again")
    image = f"{registry}/{name}:1"
    config = {"Entrypoint": ["sh", "-c", "exit 3"]}
    lab.control("put_image", image, config, history=["RUN apt-get install -y openssh-server"])
    lab.python(
        f"""
like = describe(os.environ["SM_PROXY_LAB_JOB"])
client("sagemaker").create_training_job(
    TrainingJobName={name!r},
    AlgorithmSpecification={{"TrainingImage": {image!r}, "TrainingInputMode": "File"}},
    ResourceConfig={{**like["ResourceConfig"], "InstanceCount": 1}},
    **{{key: like[key] for key in ("RoleArn", "OutputDataConfig", "StoppingCondition")}},
)"""
    )
    Job(lab, name).until("Failed")
    done = lab.warm("relaunch", name, "--remote-debug", "--timeout", "60s")
    assert done.returncode == 0, done.stderr.decode()
    host = done.stdout.decode().splitlines()[-1].removeprefix("ssh ")
    again = Job(lab, host.removeprefix("sm-"))
    try:
        assert lab.ok(host, "echo in") == b"in\n"
        made = lab.python(f"d = describe({again.name!r}); answer = d.get('VpcConfig')")
        assert made is None
    finally:
        again.stop()
