"""How the lab starts the containers of a job: their command, files, user and network."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import Lab
from tests.lab.conftest import needs_debian, needs_root
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, needs_root]

_REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
_NUMBERS = itertools.count(1)
_BUCKET = """
s3 = client("s3")
s3.create_bucket(Bucket={bucket!r})
for key, content in {objects!r}.items():
    s3.put_object(Bucket={bucket!r}, Key=key, Body=content.encode())
"""
_CREATE = """
like = describe(os.environ["SM_PROXY_LAB_JOB"])
client("sagemaker").create_training_job(**{
    **{name: like[name] for name in ("RoleArn", "OutputDataConfig", "StoppingCondition")},
    "ResourceConfig": like["ResourceConfig"] | {"InstanceCount": 1}, **ASKED,
})
"""
_STATUS = "job = describe({name!r}); answer = job['SecondaryStatus'], job.get('FailureReason')"
_SHOW = """
cd /opt/ml/input
cat config/inputdataconfig.json; echo
find data/* -type f -exec stat -c '%U %a %n' {} + | sort
for folder in data/*; do touch $folder/new 2>/dev/null && echo writable || echo readonly; done
"""


def image(lab: Lab, **config: Any) -> str:
    """Register an image in the lab's ECR; return its URI."""
    uri = f"{_REGISTRY}/image-{next(_NUMBERS)}:latest"
    lab.control("put_image", uri, config)
    return uri


def bucket(lab: Lab, **objects: str) -> str:
    """Make a bucket with these objects: key -> content."""
    name = f"data-{next(_NUMBERS)}"
    lab.python(_BUCKET.format(bucket=name, objects=objects))
    return name


def ended(lab: Lab, uri: str, **request: Any) -> tuple[str, str | None, list[str]]:
    """Run a training job to its end; return its SecondaryStatus, FailureReason and log."""
    name = lab.unused("start")
    algorithm = {"TrainingImage": uri, "TrainingInputMode": "File"}
    request["AlgorithmSpecification"] = algorithm | request.get("AlgorithmSpecification", {})
    lab.python(f"ASKED = { ({'TrainingJobName': name, **request})!r}\n{_CREATE}")
    ends = ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded")
    status: list[str] = []

    def over() -> bool:
        status[:] = lab.python(_STATUS.format(name=name))
        return status[0] in ends

    await_true(over, 60, lambda: status)
    log = lab.python(f"answer = log({name + '/'!r})")
    return status[0], status[1], log


def channel(name: str, uri: str, **more: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **more.pop("source", {})}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **more}


def test_the_entry_point_of_the_image_gets_the_word_train(lab: Lab) -> None:
    uri = image(lab, Entrypoint=["sh", "-c", 'echo "$0" "$@" "$SOME"'], Env=["SOME=thing"])
    assert ended(lab, uri) == ("Completed", None, ["train thing"])
    given = {"ContainerArguments": ["a b", "c"]}
    assert ended(lab, uri, AlgorithmSpecification=given)[2] == ["a b c thing"]


def test_the_entry_point_of_the_request_replaces_that_of_the_image(lab: Lab) -> None:
    uri = image(lab, Entrypoint=["false"], Cmd=["never"])
    given = {"ContainerEntrypoint": ["echo", "1"], "ContainerArguments": ["2"]}
    assert ended(lab, uri, AlgorithmSpecification=given) == ("Completed", None, ["1 2"])


def test_without_an_entry_point_train_is_a_program_of_the_image(lab: Lab, tmp_path: Path) -> None:
    program = tmp_path / "opt" / "bin" / "train"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "no numbers" >/opt/ml/output/failure\nexit 7\n')
    program.chmod(0o755)
    uri = image(
        lab,
        Cmd=["never"],
        Env=["PATH=/opt/bin:/usr/bin:/bin"],
        Labels={"sm-proxy-lab.files": str(tmp_path)},
    )
    assert ended(lab, uri)[:2] == ("Failed", "AlgorithmError: no numbers, exit code: 7")


def test_channels_are_copied_without_an_executable_bit(lab: Lab) -> None:
    name = bucket(lab, **{"in/run.sh": "echo hi", "in/sub/x": "y", "input": "no", "in/": ""})
    request = {
        "InputDataConfig": [
            channel("a", f"s3://{name}/in", InputMode="File", ContentType="text/x"),
            channel("b", f"s3://{name}/in/", InputMode="FastFile"),
        ]
    }
    status, reason, log = ended(lab, image(lab, Entrypoint=["sh", "-c", _SHOW]), **request)
    assert (status, reason) == ("Completed", None), log
    both = {"S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    assert json.loads(log[0]) == {
        "a": {**both, "TrainingInputMode": "File", "ContentType": "text/x"},
        "b": {**both, "TrainingInputMode": "FastFile"},
    }
    # S3Uri is a prefix of keys, not a folder.
    files = ["a/input", *(f"{each}/{file}" for each in "ab" for file in ("run.sh", "sub/x"))]
    assert log[1:] == [*(f"root 644 data/{file}" for file in files), "writable", "readonly"]


@pytest.mark.parametrize(
    ("where", "reason"),
    [("s3://{}/none", "No S3 objects found under S3 URL"), ("s3://no-such/x", "NoSuchBucket")],
)
def test_missing_data_ends_the_job(lab: Lab, where: str, reason: str) -> None:
    uri = where.format(bucket(lab, some="thing"))
    entry = image(lab, Entrypoint=["echo", "never"])
    status, told, log = ended(lab, entry, InputDataConfig=[channel("a", uri)])
    assert (status, log) == ("Failed", [])
    assert told is not None
    assert told.startswith("ClientError: Data download failed:")
    assert reason in told


_PLACE = """
import json
place = json.load(open("/opt/ml/input/config/resourceconfig.json"))
import os
names = ("current_host", "current_group_name", "current_instance_type", "hosts")
files = sorted(os.path.join(where, name) for where, _, names in os.walk("/opt/ml/input/data")
    for name in names)
channels = sorted(json.load(open("/opt/ml/input/config/inputdataconfig.json")))
print(json.dumps([[place[name] for name in names], channels, files]))
"""


def test_instance_groups_have_their_own_types_and_channels(lab: Lab) -> None:
    name = bucket(lab, **{f"in/{number}": "x" for number in range(3)})
    group = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "InstanceGroupName": "cpu"}
    other = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "InstanceGroupName": "gpu"}
    cpu = {"InstanceGroupNames": ["cpu"], "S3DataDistributionType": "ShardedByS3Key"}
    both = {"InstanceGroupNames": ["cpu", "gpu"]}
    status, reason, log = ended(
        lab,
        image(lab, Entrypoint=["python3", "-c", _PLACE]),
        ResourceConfig={"InstanceGroups": [group, other], "VolumeSizeInGB": 1},
        InputDataConfig=[
            channel("part", f"s3://{name}/in/", source=cpu),
            channel("all", f"s3://{name}/in/", source=both),
        ],
    )
    assert (status, reason) == ("Completed", None), log
    hosts = ["algo-1", "algo-2", "algo-3"]
    whole = [f"/opt/ml/input/data/all/{number}" for number in range(3)]
    names, part = ["all", "part"], "/opt/ml/input/data/part/"
    assert sorted(map(json.loads, log)) == [
        [["algo-1", "cpu", "ml.m5.large", hosts], names, [*whole, f"{part}0", f"{part}2"]],
        [["algo-2", "cpu", "ml.m5.large", hosts], names, [*whole, f"{part}1"]],
        [["algo-3", "gpu", "ml.g5.xlarge", hosts], ["all"], whole],
    ]


def test_max_runtime_ends_a_job(lab: Lab) -> None:
    # It ends by itself where SIGTERM comes before its trap.
    script = "trap 'exit 0' TERM; for _ in $(seq 100); do sleep 0.1; done"
    uri = image(lab, Entrypoint=["sh", "-c", script])
    assert ended(lab, uri, StoppingCondition={"MaxRuntimeInSeconds": 1})[0] == "MaxRuntimeExceeded"


def test_a_job_in_network_isolation_reaches_its_peers_only(lab: Lab) -> None:
    script = """
        other=algo-$((3 - ${HOSTNAME#algo-}))
        python3 -c '
import os, socket, sys, time
server = socket.create_server(("", 9999))
for _ in range(600):
    try:
        socket.create_connection((sys.argv[1], 9999), 1)
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit("no peer")
server.accept()
for address in ("169.254.170.2", sys.argv[2]):
    try:
        socket.create_connection((address, 80), 2)
        sys.exit("reached " + address)
    except OSError:
        pass' $other $BASTION
    """
    bastion = lab.python(
        "answer = client('ec2').describe_instances()['Reservations'][0]['Instances'][0]"
        "['PrivateIpAddress']"
    )
    request: dict[str, Any] = {
        "EnableNetworkIsolation": True,
        "VpcConfig": lab.python(f"answer = describe({lab.job!r})['VpcConfig']"),
        "ResourceConfig": {
            "InstanceCount": 2,
            "InstanceType": "ml.m5.large",
            "VolumeSizeInGB": 1,
        },
        "Environment": {"BASTION": bastion},
    }
    entry = image(lab, Entrypoint=["bash", "-c", script])
    status, reason, log = ended(lab, entry, **request)
    assert (status, reason, log) == ("Completed", None, [])


_WHO = """
id -u; id -g; echo $HOME; pwd
touch /opt/ml/input/data/new 2>/dev/null || echo refused
test -x /usr/sbin/sshd || echo "no sshd ${SM_PROXY_SSHD-at all}"
"""


def test_an_image_has_its_own_user_and_folder_and_may_lack_sshd(lab: Lab) -> None:
    uri = image(
        lab,
        Entrypoint=["sh", "-c", _WHO],
        User="nobody",
        WorkingDir="/opt/work/here",
        Labels={"sm-proxy-lab.hide": "/usr/sbin/sshd"},
    )
    nobody = Path("/etc/passwd").read_text().split("\nnobody:")[1].split("\n")[0].split(":")
    uid, gid, home = nobody[1], nobody[2], nobody[4]
    assert ended(lab, uri) == (
        "Completed",
        None,
        [uid, gid, home, "/opt/work/here", "refused", "no sshd at all"],
    )
    missing = image(lab, Entrypoint=["true"], User="who-is-that")
    status, _, log = ended(lab, missing)
    assert status == "Failed"
    assert "unable to find user who-is-that" in log[0]


def test_a_job_fails_if_the_lab_does_not_have_the_root_of_its_image(lab: Lab) -> None:
    uri = image(lab, Labels={"sm-proxy-lab.root": "nothing"})
    assert ended(lab, uri)[:2] == ("Failed", "InternalServerError: no image nothing")


@needs_debian
def test_an_image_chooses_its_root_file_system(lab: Lab, tmp_path: Path) -> None:
    added = tmp_path / "usr" / "share" / "added"
    added.parent.mkdir(parents=True)
    added.write_text("here\n")
    hidden = "/usr/lib/python3/dist-packages/asyncssh"
    script = (
        "tail -n 1 /etc/os-release; cat /usr/share/added;"
        " test -e /opt/sm-proxy || echo not ours; python3 -c 'import asyncssh' || echo none"
    )
    uri = image(
        lab,
        Entrypoint=["sh", "-c", f"{{ {script}; }} 2>/dev/null"],
        Labels={
            "sm-proxy-lab.root": "python",
            "sm-proxy-lab.files": str(tmp_path),
            "sm-proxy-lab.hide": hidden,
        },
    )
    expected = ["VARIANT_ID=sm-proxy-lab-python", "here", "not ours", "none"]
    assert ended(lab, uri) == ("Completed", None, expected)


_CREATE_PROCESSING = """
like = describe(os.environ["SM_PROXY_LAB_JOB"])
client("sagemaker").create_processing_job(**{
    "ProcessingResources": {"ClusterConfig": {
        "InstanceCount": 2, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
    "RoleArn": like["RoleArn"], "NetworkConfig": {"VpcConfig": like["VpcConfig"]}, **ASKED,
})
"""
_PROCESS = """
import json, os, sys
config = json.load(open("/opt/ml/config/processingjobconfig.json"))
place = json.load(open("/opt/ml/config/resourceconfig.json"))
assert config["ProcessingJobName"] == sys.argv[1] and place["hosts"] == ["algo-1", "algo-2"]
assert os.environ["GIVEN"] == "yes"
assert os.path.isdir("/opt/ml/processing/output/made")
assert open("/opt/ml/processing/input/code/run.py").read() == "print(1)"
if place["current_host"] == "algo-2":
    open("/opt/ml/output/message", "w").write("half done")
    sys.exit(3)
print("up", flush=True)
import time
time.sleep(3600)
"""


def test_a_processing_job_runs_in_containers(lab: Lab) -> None:
    name = bucket(lab, **{"code/run.py": "print(1)"})
    code = {"S3Uri": f"s3://{name}/code", "LocalPath": "/opt/ml/processing/input/code"}
    made = {"S3Uri": f"s3://{name}/out", "LocalPath": "/opt/ml/processing/output/made"}
    job = lab.unused("prepare")
    request = {
        "ProcessingJobName": job,
        "AppSpecification": {
            "ImageUri": image(lab, Entrypoint=["python3", "-c", _PROCESS], Cmd=[job]),
        },
        "ProcessingInputs": [
            {
                "InputName": "code",
                "S3Input": {**code, "S3DataType": "S3Prefix", "S3InputMode": "File"},
            }
        ],
        "ProcessingOutputConfig": {
            "Outputs": [{"OutputName": "made", "S3Output": {**made, "S3UploadMode": "EndOfJob"}}]
        },
        "Environment": {"GIVEN": "yes"},
    }
    lab.python(f"ASKED = {request!r}\n{_CREATE_PROCESSING}")
    described = processing(lab, job, "Failed")
    assert described["FailureReason"].startswith("AlgorithmError: ")
    assert described["ExitMessage"] == "half done"


def test_a_processing_job_stops_when_it_is_told_to(lab: Lab) -> None:
    job = lab.unused("prepare")
    program = "trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    request = {
        "ProcessingJobName": job,
        "AppSpecification": {"ImageUri": image(lab), "ContainerEntrypoint": ["sh", "-c", program]},
    }
    lab.python(f"ASKED = {request!r}\n{_CREATE_PROCESSING}")
    log = "/aws/sagemaker/ProcessingJobs"
    await_true(lambda: lab.python(f"answer = log({job + '/'!r}, {log!r})") == ["up"] * 2, 60)
    lab.python(f"client('sagemaker').stop_processing_job(ProcessingJobName={job!r})")
    processing(lab, job, "Stopped")
    assert sorted(lab.python(f"answer = log({job + '/'!r}, {log!r})")) == ["told"] * 2 + ["up"] * 2


def processing(lab: Lab, job: str, status: str) -> dict[str, Any]:
    """Wait until a processing job has this status; return its description."""
    found: dict[str, Any] = {}
    program = (
        f"job = client('sagemaker').describe_processing_job(ProcessingJobName={job!r})\n"
        "answer = {name: value for name, value in job.items() if isinstance(value, str)}"
    )

    def reached() -> bool:
        found.update(lab.python(program))
        return bool(found["ProcessingJobStatus"] == status)

    await_true(reached, 60, lambda: found)
    return found
