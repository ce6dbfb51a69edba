from __future__ import annotations

import copy
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.launch import request as requests
from sm_proxy.launch.changes import replay
from sm_proxy.launch.channel import Channel
from sm_proxy.launch.request import Made, Ssh, add_ssh
from sm_proxy.launch.shapes import Operation

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti"
SSH = Ssh(keys=(f"{KEY} me@laptop",))
CHANNEL = Channel("s3://b/p", {"entrypoint.sh": b"#!/bin/sh\n"})
FOLDER = "/opt/ml/input/data/sm_proxy"


def training(**more: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": "bert",
        "AlgorithmSpecification": {"TrainingImage": "i:1", "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::123456789012:role/job",
        "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **more,
    }


def processing(**more: Any) -> dict[str, Any]:
    return {
        "ProcessingJobName": "clean",
        "AppSpecification": {"ImageUri": "i:1"},
        "RoleArn": "arn:aws:iam::123456789012:role/job",
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 10,
            }
        },
        "NetworkConfig": {"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}},
        **more,
    }


def algorithm(**more: Any) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {
            "TrainingImage": "i:1",
            "TrainingInputMode": "File",
            **more,
        }
    }


def make(
    request: dict[str, Any],
    ssh: Ssh = SSH,
    entrypoint: tuple[str, ...] | None = ("python", "train.py"),
    cmd: tuple[str, ...] = (),
) -> Made:
    """The request with ssh, after the checks that hold for every request."""
    operation: Operation = (
        "CreateTrainingJob" if "TrainingJobName" in request else "CreateProcessingJob"
    )
    given = copy.deepcopy(request)
    made = add_ssh(operation, request, ssh, CHANNEL, entrypoint, cmd=cmd)
    assert request == given
    assert replay(request, made.changes) == made.request
    again = add_ssh(operation, made.request, ssh, CHANNEL, entrypoint, cmd=cmd)
    assert again.changes == ()
    assert again.request == made.request
    assert all(change.why for change in made.changes)
    return made


def test_a_training_job_gets_all_that_ssh_needs() -> None:
    made = make(training())
    assert made.request == {
        **training(),
        "AlgorithmSpecification": {
            "TrainingImage": "i:1",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["sh", f"{FOLDER}/entrypoint.sh"],
            "ContainerArguments": ["python", "train.py", "train"],
        },
        "Environment": {
            "SM_PROXY_AUTHORIZED_KEY": KEY,
            "SM_PROXY_KEEP_FAILURE": "30m",
            "SM_PROXY_KEEP_CONNECTED": "30m",
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600 + 1800},
        "InputDataConfig": [
            {
                "ChannelName": "sm_proxy",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": CHANNEL.uri,
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
                "InputMode": "File",
            }
        ],
    }
    assert made.channel == CHANNEL


def test_a_processing_job_gets_all_that_ssh_needs() -> None:
    folder = "/opt/ml/processing/input/sm_proxy"
    made = make(processing(), cmd=("--fast",))
    assert made.request["AppSpecification"] == {
        "ImageUri": "i:1",
        "ContainerEntrypoint": ["sh", f"{folder}/entrypoint.sh"],
        "ContainerArguments": ["python", "train.py", "--fast"],
    }
    assert made.request["ProcessingInputs"] == [
        {
            "InputName": "sm_proxy",
            "S3Input": {
                "S3Uri": CHANNEL.uri,
                "LocalPath": folder,
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
                "S3DataDistributionType": "FullyReplicated",
            },
        }
    ]
    assert made.request["StoppingCondition"] == {"MaxRuntimeInSeconds": 24 * 3600 + 1800}


@pytest.mark.parametrize(
    ("named", "arguments", "image", "runs"),
    [
        ([], [], (), ["train"]),
        ([], [], ("python", "t.py"), ["python", "t.py", "train"]),
        ([], ["a", "b c", ""], ("python", "t.py"), ["python", "t.py", "a", "b c", ""]),
        ([], ["bash", "x.sh"], (), ["bash", "x.sh"]),
        (["bash"], ["-c", "x && y"], None, ["bash", "-c", "x && y"]),
        (["./run"], [], None, ["./run"]),
    ],
)
def test_a_training_job_runs_what_it_would_have_run(
    named: list[str], arguments: list[str], image: tuple[str, ...] | None, runs: list[str]
) -> None:
    given = {"ContainerEntrypoint": named, "ContainerArguments": arguments}
    more = {name: value for name, value in given.items() if value}
    made = make(training(**algorithm(**more)), entrypoint=image)
    assert made.request["AlgorithmSpecification"]["ContainerArguments"] == runs


@pytest.mark.parametrize("operation", ["CreateTrainingJob", "CreateProcessingJob"])
def test_a_request_without_an_entry_point_needs_the_image(operation: Operation) -> None:
    request = training() if operation == "CreateTrainingJob" else processing()
    assert requests.needs_image(operation, request)
    with pytest.raises(SmProxyError) as caught:
        add_ssh(operation, request, SSH, CHANNEL, None)
    assert caught.value.code == "image-unreadable"
    assert "--entrypoint" in caught.value.hint
