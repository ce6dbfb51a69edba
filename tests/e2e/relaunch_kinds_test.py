"""Jobs that nobody prepared for ssh, of every shape: run, relaunched and entered.

Each program prints what it sees of its job. After the relaunch it must see the same, and ours.
"""

from __future__ import annotations

import ast
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import LOG_GROUP, Lab
from tests.lab.conftest import needs_debian, needs_root
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, needs_root]

_REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
_HISTORY = ["RUN apt-get install -y openssh-server python3"]
_NUMBERS = itertools.count(1)
_BUCKET = "sm-proxy-lab"
_CREATE = """
like = describe(os.environ["SM_PROXY_LAB_JOB"])
create = getattr(client("sagemaker"), {operation!r})
create(**{{"RoleArn": like["RoleArn"], **{request!r}}})
"""
_INPUT = """
s3 = client("s3")
try:
    s3.create_bucket(Bucket={bucket!r})
except s3.exceptions.ClientError:
    pass
s3.put_object(Bucket={bucket!r}, Key="in/part-0", Body=b"0")
s3.put_object(Bucket={bucket!r}, Key="in/part-1", Body=b"1")
"""
_DESCRIBED = """
job = getattr(client("sagemaker"), {operation!r})(**{{{name!r}: {job!r}}})
answer = [job[{status!r}], job.get("FailureReason")]
"""
# What a program sees, without the json module: the image has Debian's python3-minimal.
_LOOK = """
import os, sys
found = {"argv": sys.argv[1:], "environment": dict(os.environ), "files": {}, "config": {}}
for top in ("/opt/ml/input/data", "/opt/ml/processing/input"):
    for where, _, names in os.walk(top):
        for name in names:
            path = os.path.join(where, name)
            found["files"][path] = oct(os.stat(path).st_mode & 0o777)
for where in ("/opt/ml/input/config", "/opt/ml/config"):
    if os.path.isdir(where):
        for name in os.listdir(where):
            found["config"][name] = open(os.path.join(where, name)).read()
print("SEEN " + ascii(found), flush=True)
"""
# The first node fails, once the second has said what it sees.
_MEET = """
import socket, time
if os.environ["SM_CURRENT_HOST"] == "algo-2":
    socket.create_server(("", 9999)).accept()
    time.sleep(3600)
while True:
    try:
        socket.create_connection(("algo-2", 9999), 1)
        sys.exit(5)
    except OSError:
        time.sleep(0.1)
"""
_OURS = ("/opt/ml/input/data/sm_proxy/", "/opt/ml/processing/input/sm_proxy/")
_CHANGING = {
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "TRAINING_JOB_NAME", "TRAINING_JOB_ARN"),
    *("PWD", "OLDPWD", "SHLVL", "_"),
}


class Kind:
    """How SageMaker's operations name a kind of job."""

    def __init__(self, word: str, status: str) -> None:
        self.create = f"create_{word}_job"
        self.describe = f"describe_{word}_job"
        self.name = f"{word.capitalize()}JobName"
        self.status = status
        self.log = LOG_GROUP.replace("Training", word.capitalize())


TRAINING = Kind("training", "SecondaryStatus")
PROCESSING = Kind("processing", "ProcessingJobStatus")


def image(lab: Lab, **config: Any) -> str:
    """Register an image that knows nothing of us; return its URI."""
    uri = f"{_REGISTRY}/kinds-{next(_NUMBERS)}:latest"
    lab.control("put_image", uri, config, history=_HISTORY)
    return uri


def failed(lab: Lab, kind: Kind, job: str, **request: Any) -> dict[str, dict[str, Any]]:
    """Run a job, which must fail; return what the program of each node has seen."""
    lab.python(_INPUT.format(bucket=_BUCKET))
    lab.python(_CREATE.format(operation=kind.create, request={kind.name: job, **request}))
    await_failure(lab, kind, job)
    return seen(lab, kind, job)


def await_failure(lab: Lab, kind: Kind, job: str) -> None:
    """Wait until a job has failed."""
    program = _DESCRIBED.format(
        operation=kind.describe, name=kind.name, job=job, status=kind.status
    )
    found: list[str] = []

    def over() -> bool:
        found[:] = lab.python(program)
        return found[0] == "Failed"

    await_true(over, 60, lambda: (found, log(lab, kind, job)))


def log(lab: Lab, kind: Kind, job: str) -> list[str]:
    lines: list[str] = lab.python(f"answer = log({job + '/'!r}, {kind.log!r})")
    return lines


def seen(lab: Lab, kind: Kind, job: str) -> dict[str, dict[str, Any]]:
    """What the program of each node has printed about its job."""
    lines = [line for line in log(lab, kind, job) if line.startswith("SEEN ")]
    documents = [ast.literal_eval(line.removeprefix("SEEN ")) for line in lines]
    return {
        json.loads(found["config"]["resourceconfig.json"])["current_host"]: found
        for found in documents
    }


def relaunched(lab: Lab, host: str) -> tuple[str, str]:
    """Relaunch a job; return the new job's host name and name."""
    done = lab.warm("relaunch", host, "--timeout", "100s", "--wait", "0", "--json")
    assert done.returncode == 0, done.stderr.decode()
    data = json.loads(done.stdout)["data"]
    return data["host"], data["job"]


def compare(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> None:
    """Check that each node's program sees what it saw before, and ours."""
    assert before.keys() == after.keys()
    for node, first in before.items():
        second = after[node]
        assert second["argv"] == first["argv"]
        theirs = {name: value for name, value in second["environment"].items() if not _ours(name)}
        assert theirs == {n: v for n, v in first["environment"].items() if not _ours(n)}
        files = {p: mode for p, mode in second["files"].items() if not p.startswith(_OURS)}
        assert files == first["files"] != {}
        added = second["files"].keys() - files.keys()
        assert any(path.endswith("/entrypoint.sh") for path in added)
        assert {second["files"][path] for path in added} == {"0o644"}
        assert second["config"]["resourceconfig.json"] == first["config"]["resourceconfig.json"]
        config = "hyperparameters.json"
        assert second["config"].get(config) == first["config"].get(config)


def _ours(name: str) -> bool:
    return name.startswith("SM_PROXY_") or name in _CHANGING


@only_in_soak
def test_a_job_with_instance_groups_is_relaunched(lab: Lab) -> None:
    job = lab.unused("groups")
    group = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "InstanceGroupName": "cpu"}
    other = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "InstanceGroupName": "gpu"}
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": f"s3://{_BUCKET}/in/",
        "S3DataDistributionType": "ShardedByS3Key",
        "InstanceGroupNames": ["cpu", "gpu"],
    }
    program = f"{_LOOK}{_MEET}"
    before = failed(
        lab,
        TRAINING,
        job,
        AlgorithmSpecification={
            "TrainingImage": image(lab, Entrypoint=["python3", "-c", program, "a b", "", "ü"]),
            "TrainingInputMode": "File",
        },
        HyperParameters={"epochs": "1"},
        Environment={"GIVEN": "as before"},
        ResourceConfig={"InstanceGroups": [group, other], "VolumeSizeInGB": 1},
        InputDataConfig=[{"ChannelName": "part", "DataSource": {"S3DataSource": source}}],
        OutputDataConfig={"S3OutputPath": f"s3://{_BUCKET}/out"},
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
    )
    assert before["algo-1"]["argv"] == ["a b", "", "ü", "train"]
    host, new = relaunched(lab, f"sm-{job}")
    await_true(lambda: len(seen(lab, TRAINING, new)) == 2, 60, lambda: log(lab, TRAINING, new))
    compare(before, seen(lab, TRAINING, new))
    script = "echo $SM_CURRENT_HOST $GIVEN; cat /opt/ml/input/data/part/*"
    assert lab.ok(f"{host}.algo-2", script) == b"algo-2 as before\n1"
    # The end of one node ends the job, perhaps before `done` has reached the others.
    assert lab.warm("done", f"{host}.algo-1").returncode == 0
    await_failure(lab, TRAINING, new)


def test_a_processing_job_is_relaunched(lab: Lab) -> None:
    job = lab.unused("prepare")
    local = "/opt/ml/processing/input/data"
    source = {"S3Uri": f"s3://{_BUCKET}/in", "LocalPath": local, "S3DataType": "S3Prefix"}
    before = failed(
        lab,
        PROCESSING,
        job,
        AppSpecification={
            "ImageUri": image(lab, Entrypoint=["python3", "-c", f"{_LOOK}\nsys.exit(5)"]),
            "ContainerArguments": ["--part", "a b"],
        },
        ProcessingResources={
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": "ml.m5.large",
                "VolumeSizeInGB": 1,
            }
        },
        ProcessingInputs=[{"InputName": "data", "S3Input": {**source, "S3InputMode": "File"}}],
        Environment={"GIVEN": "as before"},
    )
    host, new = relaunched(lab, f"sm-{job}.processing")
    await_true(lambda: len(seen(lab, PROCESSING, new)) == 1, 60, lambda: log(lab, PROCESSING, new))
    compare(before, seen(lab, PROCESSING, new))
    script = f"echo $GIVEN; cat {local}/*; cat /opt/ml/config/processingjobconfig.json"
    given, config = lab.ok(host, script).decode().split("\n", 1)
    assert (given, config[:2]) == ("as before", "01")
    assert json.loads(config[2:])["ProcessingJobName"] == new
    assert lab.warm("done", host).returncode == 0
    await_failure(lab, PROCESSING, new)


# As AWS's toolkits do: each node starts the image's sshd on 22, and the first starts the workers
# through it. {} is the program that starts them.
_MPI = """#!/bin/bash
mkdir -p /run/sshd && ssh-keygen -A >/dev/null
/usr/sbin/sshd -D & server=$!
if [ "$SM_CURRENT_HOST" != algo-1 ]; then
    # The first node says when it is over.
    until [ -e /tmp/over ]; do kill -0 $server || exit 9; sleep 0.1; done
    exit 0
fi
python3 -c 'import socket, time
left = ["algo-1", "algo-2"]
while left:
    try:
        socket.create_connection((left[0], 22), 1).close()
        del left[0]
    except OSError:
        time.sleep(0.1)'
{}
python3 /opt/look.py "$@"
ssh algo-2 touch /tmp/over
exit 5
"""
_WORKERS = "for node in algo-1 algo-2; do ssh $node 'echo worker on $(hostname)'; done"
_MPIRUN = (
    "mpirun --allow-run-as-root -np 2 --host algo-1,algo-2 --map-by node"
    " sh -c 'echo worker on $(hostname)'"
)


def _mpi_job_is_relaunched(lab: Lab, files: Path, workers: str, packages: str) -> None:
    (files / "opt").mkdir()
    (files / "opt" / "look.py").write_text(_LOOK)
    program = files / "usr" / "local" / "bin" / "train"
    program.parent.mkdir(parents=True)
    program.write_text(_MPI.format(workers))
    program.chmod(0o755)
    labels = {"root": "framework", "files": str(files), "packages": packages}
    subnets = lab.python(f"answer = describe({lab.job!r})['VpcConfig']")
    job = lab.unused("mpi")
    before = failed(
        lab,
        TRAINING,
        job,
        AlgorithmSpecification={
            # No ENTRYPOINT: the word `train` is a program.
            "TrainingImage": image(
                lab, Labels={f"sm-proxy-lab.{name}": value for name, value in labels.items()}
            ),
            "TrainingInputMode": "File",
        },
        VpcConfig=subnets,
        HyperParameters={"sagemaker_mpi_enabled": "true"},
        InputDataConfig=[
            {
                "ChannelName": "part",
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{_BUCKET}/in/"}
                },
            }
        ],
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
        OutputDataConfig={"S3OutputPath": f"s3://{_BUCKET}/out"},
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
    )
    wanted = {"worker on algo-1", "worker on algo-2"}
    assert wanted <= set(log(lab, TRAINING, job))
    host, new = relaunched(lab, f"sm-{job}")
    await_true(lambda: bool(seen(lab, TRAINING, new)), 60, lambda: log(lab, TRAINING, new))
    assert wanted <= set(log(lab, TRAINING, new))
    compare(before, seen(lab, TRAINING, new))
    # Their sshd holds port 22 and takes the key of the image; ours takes only the user's key.
    script = """
        for port in 22 2222; do
            ssh -p $port -o BatchMode=yes -o StrictHostKeyChecking=no algo-1 true 2>/dev/null
            echo $port $?
        done
    """
    assert lab.ok(host, script).decode().splitlines() == ["22 0", "2222 255"]
    assert lab.warm("done", f"{host}.algo-1").returncode == 0
    await_failure(lab, TRAINING, new)


@needs_debian
@only_in_soak
def test_a_job_whose_nodes_use_the_sshd_of_their_image_is_relaunched(
    lab: Lab, tmp_path: Path
) -> None:
    _mpi_job_is_relaunched(lab, tmp_path, _WORKERS, "")


@needs_debian
@only_in_soak
def test_a_job_of_mpirun_is_relaunched(lab: Lab, tmp_path: Path) -> None:
    _mpi_job_is_relaunched(lab, tmp_path, _MPIRUN, "openmpi-bin")
