"""`launch`: a program of the user's creates jobs, no line of it changed, and ssh enters them."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.labs import SM_PROXY, Job, Lab
from tests.lab.conftest import needs_root
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, needs_root]

_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/launched:latest"
_NUMBERS = itertools.count(1)
_LAUNCHER = """
import botocore.session, concurrent.futures, json, sys

session = botocore.session.Session()
client = session.create_client("sagemaker")
with concurrent.futures.ThreadPoolExecutor() as pool:
    made = pool.map(lambda asked: client.create_training_job(**asked), json.loads(sys.argv[1]))
    print(json.dumps([answer["TrainingJobArn"] for answer in made]))
other = session.create_client(
    "sagemaker", aws_access_key_id="AKIAOTHER", aws_secret_access_key="other"
)
try:
    other.list_training_jobs()
except Exception as error:
    print(error)
"""
_LISTS = """
import botocore.session

session = botocore.session.Session()
print(session.create_client("sagemaker").list_training_jobs()["ResponseMetadata"]["HTTPStatusCode"])
print(session.get_credentials().method)
"""
_WAITS = """
import http.client, os, sys, urllib.parse

url = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL_SAGEMAKER"])
print("ready", os.getppid(), flush=True)
sys.stdin.readline()
try:
    http.client.HTTPConnection(url.hostname, url.port, timeout=60).request("GET", url.path)
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def request_of(lab: Lab) -> Iterator[Any]:
    """Makes requests of training jobs whose program fails at once; stops the jobs at the end."""
    lab.control(
        "put_image", _IMAGE, {"Entrypoint": ["sh", "-c", "exit 3"]}, history=["openssh-server"]
    )
    names = ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition", "VpcConfig")
    like = lab.python(
        f"like = describe(os.environ['SM_PROXY_LAB_JOB'])\n"
        f"answer = {{name: like[name] for name in {names!r}}}"
    )
    jobs: list[Job] = []

    def made(**changes: Any) -> dict[str, Any]:
        jobs.append(Job(lab, f"launched-{next(_NUMBERS)}"))
        return {
            "TrainingJobName": jobs[-1].name,
            "AlgorithmSpecification": {"TrainingImage": _IMAGE, "TrainingInputMode": "File"},
            **like,
            "ResourceConfig": {**like["ResourceConfig"], "InstanceCount": 1},
            **changes,
        }

    yield made
    running = "[s['TrainingJobName'] for s in client('sagemaker').list_training_jobs()"
    running += "['TrainingJobSummaries'] if s['TrainingJobStatus'] == 'InProgress']"
    live = lab.python(f"answer = {running}")
    for job in jobs:
        if job.name in live:
            job.stop()


def described(lab: Lab, name: str, *members: str) -> dict[str, Any]:
    found: dict[str, Any] = lab.python(
        f"d = describe({name!r}); answer = {{name: d.get(name) for name in {members!r}}}"
    )
    return found


def test_the_jobs_of_a_program_get_ssh(lab: Lab, request_of: Any) -> None:
    first, second = request_of(), request_of(Environment={"OWN": "1"})
    alone = request_of(EnableNetworkIsolation=True)
    names = [request["TrainingJobName"] for request in (first, second, alone)]
    asked = json.dumps([first, second, alone])
    done = lab.sm_proxy("launch", "--", sys.executable, "-c", _LAUNCHER, asked)
    assert done.returncode == 0, done.stderr.decode()
    told = done.stderr.decode()
    arns, refusal = done.stdout.decode().splitlines()
    assert [arn.rpartition("/")[2] for arn in json.loads(arns)] == names
    assert "AccessDeniedException" in refusal
    assert "sm_proxy.sagemaker.enable_ssh" in refusal
    for name in names[:2]:
        assert f"sm-proxy: job {name} has ssh: ssh sm-{name}\n" in told
    assert f"sm-proxy: job {names[2]} runs without ssh: network-isolation: " in told

    members = tuple(first)
    assert described(lab, names[2], *members) == {name: alone[name] for name in members}
    found = described(lab, names[1], *members, "Environment", "InputDataConfig")
    assert found["Environment"]["OWN"] == "1"
    assert found["InputDataConfig"][0]["ChannelName"] == "sm_proxy"
    changed = {name for name in members if found[name] != second[name]}
    assert changed == {"AlgorithmSpecification", "StoppingCondition"}
    running = lab.ok(f"sm-{names[0]}", "cat /proc/1/cmdline").split(b"\0")
    assert running[-5:-1] == [b"sh", b"-c", b"exit 3", b"train"]


def test_the_aws_cli_is_a_program_too(lab: Lab, request_of: Any) -> None:
    request = request_of()
    cli = [sys.executable, "-m", "awscli", "sagemaker", "create-training-job"]
    done = lab.warm("launch", "--", *cli, "--cli-input-json", json.dumps(request))
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["TrainingJobArn"].endswith(request["TrainingJobName"])
    found = described(lab, request["TrainingJobName"], "Environment")["Environment"]
    assert "SM_PROXY_AUTHORIZED_KEY" in found


def test_the_job_of_a_file_is_entered(lab: Lab, request_of: Any, tmp_path: Path) -> None:
    request = request_of()
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(request))
    done = lab.warm("launch", str(path), "--timeout", "60s")
    assert done.returncode == 0, done.stderr.decode()
    host = f"sm-{request['TrainingJobName']}"
    assert done.stdout.decode().splitlines()[-1] == f"ssh {host}"
    assert lab.ok(host, "echo $SM_PROXY_KEEP_FAILURE") == b"30m\n"


def test_a_program_with_a_web_identity_gets_our_keys(lab: Lab, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a token")
    role = "arn:aws:iam::123456789012:role/scientist"
    variables = ["-u", "AWS_ACCESS_KEY_ID", f"AWS_WEB_IDENTITY_TOKEN_FILE={token}"]
    words = ["env", *variables, f"AWS_ROLE_ARN={role}", *SM_PROXY, "launch", "--"]
    done = lab.run(*words, sys.executable, "-c", _LISTS)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split() == ["200", "custom-process"]


def test_a_command_goes_on_if_we_are_killed(lab: Lab) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [*SM_PROXY, "launch", "--", sys.executable, "-c", _WAITS]
    with lab.popen(*command, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        word, ours = process.stdout.readline().split()
        assert (word, int(ours)) == (b"ready", process.pid)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.read() == b"ConnectionRefusedError\n"


@only_in_soak
def test_many_jobs_at_once_get_ssh(lab: Lab, request_of: Any) -> None:
    requests = [request_of() for _ in range(12)]
    done = lab.sm_proxy("launch", "--", sys.executable, "-c", _LAUNCHER, json.dumps(requests))
    assert done.returncode == 0, done.stderr.decode()
    told = re.findall(r"has ssh: ssh sm-(\S+)", done.stderr.decode())
    assert sorted(told) == sorted(request["TrainingJobName"] for request in requests)
    for name in told:
        await_true(lambda name=name: "sm_proxy_marker" in Job(lab, name).log(), 120)  # type: ignore[misc]
