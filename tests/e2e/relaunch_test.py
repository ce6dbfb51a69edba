"""`relaunch`: a job that nobody has prepared runs again, and ssh enters it."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import SM_PROXY, Job, Lab, last_line
from tests.lab.conftest import needs_root
from tests.soak import cases, only_in_soak
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, needs_root]

_REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
_SERVER = ["RUN apt-get install -y openssh-server python3"]
_PROGRAM = "echo starting; test -e /tmp/mended || { echo no GPU >/opt/ml/output/failure; exit 3; }"
_NUMBERS = itertools.count(1)
_CREATE = """
like = describe(os.environ["SM_PROXY_LAB_JOB"])
same = ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition", "VpcConfig")
client("sagemaker").create_training_job(**{
    **{name: like[name] for name in same},
    "ResourceConfig": like["ResourceConfig"] | {"InstanceCount": 1}, **ASKED,
})
"""


def created(lab: Lab, *entrypoint: str, image: dict[str, Any] | None = None, **request: Any) -> Job:
    """Create a job from an image that knows nothing of us, as a user's launcher does."""
    number = next(_NUMBERS)
    uri = f"{_REGISTRY}/theirs-{number}:latest"
    config = image or {"Entrypoint": list(entrypoint)}
    lab.control("put_image", uri, config, history=_SERVER)
    job = Job(lab, f"theirs-{number}")
    algorithm = {"TrainingImage": uri, "TrainingInputMode": "File"}
    asked = {"TrainingJobName": job.name, "AlgorithmSpecification": algorithm, **request}
    lab.python(f"ASKED = {asked!r}\n{_CREATE}")
    return job


@pytest.fixture(scope="module")
def failed(lab: Lab) -> Job:
    """A job that has failed, with an error that a user could mend in its container."""
    job = created(lab, "sh", "-c", _PROGRAM)
    job.until("Failed")
    return job


@pytest.fixture
def again(lab: Lab) -> Iterator[list[Job]]:
    """Jobs that a test has relaunched; they are stopped at its end."""
    jobs: list[Job] = []
    yield jobs
    for job in jobs:
        if job.status() in {"Starting", "Downloading", "Training"}:
            job.stop()


def relaunched(lab: Lab, again: list[Job], *words: str) -> Job:
    """Relaunch a job; the last line on stdout must be the command that enters the new one."""
    done = lab.warm("relaunch", "--timeout", "60s", *words)
    assert done.returncode == 0, done.stderr.decode()
    host = done.stdout.decode().splitlines()[-1].removeprefix("ssh ")
    again.append(Job(lab, host.removeprefix("sm-")))
    return again[-1]


def test_a_failed_job_is_run_again_and_entered(lab: Lab, failed: Job, again: list[Job]) -> None:
    refused = lab.ssh(failed.host)
    assert refused.returncode != 0
    assert "AlgorithmError: no GPU, exit code: 3" in last_line(refused)
    found = re.search(r"`sm-proxy (relaunch \S+)`", last_line(refused))
    assert found is not None, last_line(refused)
    job = relaunched(lab, again, *found[1].split()[1:])
    assert re.fullmatch(rf"{failed.name}-ssh-[0-9a-f]{{4}}", job.name)
    assert "starting" not in job.log().splitlines(), "it waits for the user"

    variables, ports = lab.ok(job.host, "env | grep ^SM_; ss -tln").decode().split("State", 1)
    assert {"SM_CURRENT_HOST=algo-1", "SM_PROXY_PORT=2222"} <= set(variables.split())
    assert ":2222" in ports
    await_true(lambda: "starting" in job.log(), 60, job.log)
    see = "until [ -s /opt/ml/output/failure ]; do sleep 0.1; done; cat /opt/ml/output/failure"
    assert lab.ok(job.host, see) == b"no GPU\n", "it fails as before"

    done = lab.warm("done", job.host)
    assert done.returncode == 0, done.stderr.decode()
    job.until("Failed")
    [reason] = [lab.python(f"answer = describe({job.name!r})['FailureReason']")]
    assert reason == "AlgorithmError: no GPU, exit code: 3"


@only_in_soak
def test_a_relaunched_job_can_be_relaunched(lab: Lab, failed: Job, again: list[Job]) -> None:
    first = relaunched(lab, again, failed.host, "--keep", "10m", "--wait", "1h")
    second = relaunched(lab, again, first.name, "--name", f"{first.name[:40]}-2")
    made = [
        lab.python(
            f"""
        d = describe({job.name!r}); answer = d["AlgorithmSpecification"], d["InputDataConfig"]
        """.strip()
        )
        for job in (first, second)
    ]
    assert made[0] == made[1]
    assert lab.ok(second.host, "echo $SM_PROXY_WAIT") == b"1h\n"


def test_a_shell_shows_the_program_and_runs_it_later(
    lab: Lab, failed: Job, again: list[Job]
) -> None:
    job = relaunched(lab, again, failed.host, "--shell")
    assert "starting" not in job.log().splitlines()
    lab.ok(job.host, "touch /tmp/mended")
    done = lab.warm("go", job.host)
    assert done.returncode == 0, done.stderr.decode()
    job.until("Completed")
    await_true(lambda: "starting" in job.log().splitlines(), 60, job.log)


def test_a_dry_run_makes_the_request_for_the_aws_cli(
    lab: Lab, failed: Job, again: list[Job], tmp_path: Path
) -> None:
    before = len(lab.calls())
    done = lab.warm("relaunch", failed.host, "--smaller", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr.decode()
    read_only = re.compile("(Describe|List|Get|BatchGet|Simulate)[A-Z].*")
    called = {call["operation"] for call in lab.calls()[before:]}
    assert not [name for name in called if not read_only.fullmatch(name)]

    data = json.loads(done.stdout)["data"]
    request = tmp_path / "request.json"
    request.write_text(json.dumps(data["request"]))
    with_cli = [SM_PROXY[0], "-m", "awscli", "sagemaker", "create-training-job"]
    made = lab.run(*with_cli, "--cli-input-json", f"file://{request}")
    assert made.returncode == 0, made.stderr.decode()
    again.append(Job(lab, data["job"]))
    described = lab.python(f"answer = describe({data['job']!r})['ResourceConfig']")
    assert (described["InstanceType"], described["InstanceCount"]) == ("ml.m5.large", 1)


def test_checkpoints_are_copied_and_the_warm_pool_is_used(lab: Lab, again: list[Job]) -> None:
    keys = ["ck/old/1 +é&?.pt", "ck/old/sub/2.pt"]
    put = "client('s3').put_object(Bucket='sm-proxy-lab', Key={!r}, Body=b'weights')"
    lab.python("\n".join(map(put.format, [*keys, "ck/older/3.pt"])))
    like = lab.python("answer = describe(os.environ['SM_PROXY_LAB_JOB'])['ResourceConfig']")
    job = created(
        lab,
        *("sh", "-c", "exit 3"),
        CheckpointConfig={"S3Uri": "s3://sm-proxy-lab/ck/old"},
        ResourceConfig={**like, "InstanceCount": 1, "KeepAlivePeriodInSeconds": 3600},
    )
    job.until("Failed")
    done = lab.warm("relaunch", job.name, "--timeout", "60s", "--name", f"{job.name}-warm")
    assert done.returncode == 0, done.stderr.decode()
    again.append(Job(lab, f"{job.name}-warm"))
    shown = done.stderr.decode()
    assert "it starts in seconds, on the warm pool" in shown
    assert "what is copied first: 2 checkpoint files (14 B)" in shown
    pool = lab.python(f"answer = describe({job.name!r})['WarmPoolStatus']")
    assert (pool["Status"], pool["ReusedByJob"]) == ("Reused", again[-1].name)
    prefix = f"ck/sm-proxy/{again[-1].name}/"
    list_ = f"client('s3').list_objects_v2(Bucket='sm-proxy-lab', Prefix={prefix!r})['Contents']"
    new = lab.python(f"answer = [item['Key'] for item in {list_}]")
    assert new == [key.replace("ck/old/", prefix) for key in keys]
    config = lab.python(f"answer = describe({again[-1].name!r})['CheckpointConfig']")
    assert config == {"S3Uri": f"s3://sm-proxy-lab/{prefix}"}


@pytest.mark.parametrize(
    ("number", "at"),
    cases(
        itertools.product(
            (signal.SIGKILL, signal.SIGINT), ("what changes", "what cannot", "creating")
        ),
        [(signal.SIGINT, "creating")],
    ),
)
def test_a_relaunch_that_is_killed_leaves_nothing_that_is_in_the_way(
    number: signal.Signals, at: str, lab: Lab, failed: Job, again: list[Job]
) -> None:
    name = f"killed-{number.name.lower()}-{next(_NUMBERS)}"
    command = [*SM_PROXY, "relaunch", failed.host, "--name", name]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with lab.popen(*command, **pipes) as process:
        assert process.stderr is not None
        seen = b""
        while at.encode() not in seen:
            line = process.stderr.readline()
            assert line, seen
            seen += line
        process.send_signal(number)
        seen += process.stderr.read()
    # On a very busy machine, it may be done before the signal arrives.
    assert process.returncode in {0, 130 if number == signal.SIGINT else -number}
    if process.returncode == 130 and at == "creating":
        assert f"{name} " in seen.decode().splitlines()[-1]

    job = Job(lab, name)
    again.append(job)
    done = lab.warm("relaunch", failed.host, "--name", name, "--timeout", "60s")
    if done.returncode != 0:  # it had been created
        assert "there is a training job" in last_line(done)
        done = lab.warm("wait", job.host)
    assert done.returncode == 0, done.stderr.decode()
    assert lab.ok(job.host, "echo in") == b"in\n"
