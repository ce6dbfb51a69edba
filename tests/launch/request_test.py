from __future__ import annotations

import base64
import copy
from dataclasses import replace
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.launch import channel, shapes
from sm_proxy.launch import request as requests
from sm_proxy.launch.channel import Channel
from sm_proxy.launch.request import Made, Ssh, add_ssh
from sm_proxy.launch.shapes import OPERATIONS, Operation
from tests.launch.replaying import replay

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


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_processing_job_without_arguments_runs_the_cmd(operation: Operation) -> None:
    request = training() if operation == "CreateTrainingJob" else processing()
    made = make(request, entrypoint=(), cmd=("python", "job.py"))
    arguments = made.request[str(shapes.of(operation).CONTAINER[0])]["ContainerArguments"]
    assert arguments == (["train"] if operation == "CreateTrainingJob" else ["python", "job.py"])


@pytest.mark.parametrize(
    "words",
    [["python", "x" * 257], ["python", *map(str, range(99))], ["sh", "-c", "a\nb"], ["a\u2028b"]],
)
def test_a_long_command_goes_into_a_file_of_the_channel(words: list[str]) -> None:
    made = make(training(), entrypoint=tuple(words))
    assert made.request["AlgorithmSpecification"]["ContainerArguments"] == [
        "--argv-file",
        f"{FOLDER}/argv",
    ]
    assert made.channel is not None
    assert made.channel.files["argv"] == channel.argv_file([*words, "train"])
    source = made.request["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    assert source["S3Uri"] == made.channel.uri != CHANNEL.uri


def test_the_longest_command_of_a_request_stays_in_it() -> None:
    words = ["x" * 256, *map(str, range(98)), "train"]
    made = make(training(), entrypoint=tuple(words[:-1]))
    assert made.request["AlgorithmSpecification"]["ContainerArguments"] == words


def test_our_channel_joins_the_others() -> None:
    data = {"ChannelName": "data", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/d"}}}
    made = make(training(InputDataConfig=[data]))
    assert made.request["InputDataConfig"][0] == data
    assert made.request["InputDataConfig"][1]["ChannelName"] == "sm_proxy"
    assert "InputDataConfig[1]" in [change.path for change in made.changes]


@pytest.mark.parametrize("named", [True, False])
def test_our_channel_names_all_instance_groups_if_another_one_names_some(*, named: bool) -> None:
    groups = [
        {"InstanceGroupName": name, "InstanceType": "ml.m5.large", "InstanceCount": 1}
        for name in ("a", "b")
    ]
    source: dict[str, Any] = {"S3Uri": "s3://b/d", "S3DataType": "S3Prefix"}
    if named:
        source["InstanceGroupNames"] = ["a"]
    data = {"ChannelName": "data", "DataSource": {"S3DataSource": source}}
    made = make(training(InputDataConfig=[data], ResourceConfig={"InstanceGroups": groups}))
    ours = made.request["InputDataConfig"][1]["DataSource"]["S3DataSource"]
    assert ours.get("InstanceGroupNames") == (["a", "b"] if named else None)


def test_a_job_without_a_vpc_gets_the_given_one() -> None:
    request = training()
    del request["VpcConfig"]
    ssh = replace(SSH, subnets=("subnet-2", "subnet-3"), security_groups=("sg-2",))
    made = make(request, ssh)
    assert made.request["VpcConfig"] == {
        "Subnets": ["subnet-2", "subnet-3"],
        "SecurityGroupIds": ["sg-2"],
    }
    assert made.changes[0].path == "VpcConfig"


def test_a_network_that_the_user_names_replaces_that_of_the_request() -> None:
    made = make(processing(), replace(SSH, subnets=("subnet-2",)))
    assert made.request["NetworkConfig"]["VpcConfig"] == {
        "Subnets": ["subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }


def test_a_job_with_remote_debug_needs_no_network() -> None:
    made = make(training(VpcConfig={}), replace(SSH, remote_debug=True))
    assert made.request["RemoteDebugConfig"] == {"EnableRemoteDebug": True}
    assert made.request["VpcConfig"] == {}
    change = made.changes[0]
    assert (change.path, change.before, change.after) == (
        "RemoteDebugConfig.EnableRemoteDebug",
        None,
        True,
    )
    again = make(made.request, replace(SSH, remote_debug=True))
    assert again.changes == ()


def test_remote_debug_that_the_request_has_counts() -> None:
    request = training(VpcConfig={}, RemoteDebugConfig={"EnableRemoteDebug": True})
    assert make(request, SSH).request["VpcConfig"] == {}


def test_a_network_that_the_user_names_is_set_beside_remote_debug() -> None:
    ssh = replace(SSH, remote_debug=True, subnets=("subnet-2",), security_groups=("sg-2",))
    made = make(training(VpcConfig={}), ssh)
    assert made.request["VpcConfig"] == {"Subnets": ["subnet-2"], "SecurityGroupIds": ["sg-2"]}


def test_a_processing_job_has_no_remote_debug() -> None:
    with pytest.raises(SmProxyError) as caught:
        requests.refuse("CreateProcessingJob", processing(), replace(SSH, remote_debug=True))
    assert caught.value.code == "unsupported"
    assert "only training jobs" in caught.value.message


def test_isolation_is_switched_off_only_on_request() -> None:
    isolated = training(EnableNetworkIsolation=True)
    made = make(isolated, replace(SSH, without_isolation=True))
    assert made.request["EnableNetworkIsolation"] is False
    change = made.changes[0]
    assert (change.path, change.before, change.after) == ("EnableNetworkIsolation", True, False)
    kept = make(training(EnableNetworkIsolation=False), replace(SSH, without_isolation=True))
    assert kept.request["EnableNetworkIsolation"] is False
    assert "EnableNetworkIsolation" not in [change.path for change in kept.changes]


@pytest.mark.parametrize(
    ("there", "wanted", "expected"),
    [
        ({}, {}, {"SM_PROXY_KEEP_FAILURE": "30m", "SM_PROXY_KEEP_CONNECTED": "30m"}),
        (
            {"SM_PROXY_KEEP_FAILURE": "2h", "SM_PROXY_WAIT": "90"},
            {},
            {"SM_PROXY_KEEP_FAILURE": "2h", "SM_PROXY_WAIT": "90"},
        ),
        (
            {"SM_PROXY_KEEP_SUCCESS": "1h"},
            {"keep_s": 600, "wait_s": 900},
            {
                "SM_PROXY_KEEP_SUCCESS": "1h",
                "SM_PROXY_KEEP_FAILURE": "10m",
                "SM_PROXY_KEEP_CONNECTED": "10m",
                "SM_PROXY_WAIT": "15m",
            },
        ),
        (
            {"SM_PROXY_KEEP_FAILURE": "1800", "SM_PROXY_KEEP_CONNECTED": "soon"},
            {"keep_s": 1800},
            {"SM_PROXY_KEEP_FAILURE": "1800", "SM_PROXY_KEEP_CONNECTED": "30m"},
        ),
        (
            {"SM_PROXY_WAIT": "1h", "SM_PROXY_KEEP_FAILURE": "1h"},
            {"keep_s": 0, "wait_s": 0},
            {
                "SM_PROXY_WAIT": "0",
                "SM_PROXY_KEEP_FAILURE": "0",
                "SM_PROXY_KEEP_CONNECTED": "0",
            },
        ),
        (
            {"SM_PROXY_PORT": "22", "SM_PROXY_IMAGE_KEYS": "yes", "SM_PROXY_KEEP_FAILURE": "0"},
            {"port": 2222, "image_keys": False, "shell": True},
            {
                "SM_PROXY_PORT": "2222",
                "SM_PROXY_IMAGE_KEYS": "yes",
                "SM_PROXY_KEEP_FAILURE": "0",
                "SM_PROXY_SHELL": "yes",
            },
        ),
        (
            {"SM_PROXY_KEEP_FAILURE": "0"},
            {"image_keys": False},
            {"SM_PROXY_IMAGE_KEYS": "no", "SM_PROXY_KEEP_FAILURE": "0"},
        ),
    ],
)
def test_values_of_the_request_hold_unless_the_user_overrides_them(
    there: dict[str, str], wanted: dict[str, Any], expected: dict[str, str]
) -> None:
    made = make(training(Environment={"LR": "1", **there}), replace(SSH, **wanted))
    assert made.request["Environment"] == {
        "LR": "1",
        "SM_PROXY_AUTHORIZED_KEY": KEY,
        **expected,
    }


def test_a_replaced_variable_is_reported() -> None:
    there = {"SM_PROXY_WAIT": "1h", "SM_PROXY_KEEP_FAILURE": "5m"}
    made = make(training(Environment=there), replace(SSH, wait_s=60))
    [change] = [item for item in made.changes if item.path == "Environment.SM_PROXY_WAIT"]
    assert (change.before, change.after) == ("1h", "1m")
    assert "replaces the request's own" in change.why
    others = [item.why for item in made.changes if item is not change]
    assert not any("replaces" in why for why in others)


def test_keys_join_those_of_the_request() -> None:
    there = {
        "SM_PROXY_AUTHORIZED_KEY": f'from="10.0.0.0/8" {OTHER} a',
        "SM_PROXY_KEEP_FAILURE": "1",
    }
    ssh = Ssh(keys=(f"{KEY} me", f"{OTHER} me again", f'no-pty,command="a b" {KEY}'))
    made = make(training(Environment=there), ssh)
    assert made.request["Environment"] == {**there, "SM_PROXY_AUTHORIZED_KEY_2": KEY}


@pytest.mark.parametrize(
    ("stopping", "more", "ssh", "expected"),
    [
        ({"MaxRuntimeInSeconds": 60}, {}, {"wait_s": 900}, {"MaxRuntimeInSeconds": 2760}),
        ({"MaxRuntimeInSeconds": 60}, {}, {"keep_s": 0}, {"MaxRuntimeInSeconds": 60}),
        ({}, {}, {"keep_s": 0}, {}),
        ({}, {}, {}, {"MaxRuntimeInSeconds": 24 * 3600 + 1800}),
        (
            {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 4000},
            {"EnableManagedSpotTraining": True},
            {},
            {"MaxRuntimeInSeconds": 5400, "MaxWaitTimeInSeconds": 5800},
        ),
        (
            {"MaxRuntimeInSeconds": 3600},
            {"RetryStrategy": {"MaximumRetryAttempts": 2}},
            {"wait_s": 100, "keep_s": 0},
            {"MaxRuntimeInSeconds": 3900},
        ),
        ({"MaxRuntimeInSeconds": 431_000}, {}, {}, {"MaxRuntimeInSeconds": 432_000}),
        ({"MaxRuntimeInSeconds": 600_000}, {}, {}, {"MaxRuntimeInSeconds": 600_000}),
        (
            {"MaxRuntimeInSeconds": 3600},
            {"Environment": {"SM_PROXY_KEEP_FAILURE": "1h"}},
            {"keep_s": 7200},
            {"MaxRuntimeInSeconds": 7200},
        ),
    ],
)
def test_the_run_time_covers_the_windows(
    stopping: dict[str, int], more: dict[str, Any], ssh: dict[str, Any], expected: dict[str, int]
) -> None:
    made = make(training(StoppingCondition=stopping, **more), replace(SSH, **ssh))
    assert made.request["StoppingCondition"] == expected


@pytest.mark.parametrize("shell", ["sh", "/bin/bash", None])
def test_an_image_with_our_entrypoint_needs_no_channel(shell: str | None) -> None:
    image = (*([shell] if shell else []), "/opt/sm-proxy/entrypoint.sh", "python", "train.py")
    made = make(training(), entrypoint=image)
    assert made.channel is None
    assert made.request["AlgorithmSpecification"] == training()["AlgorithmSpecification"]
    assert "InputDataConfig" not in made.request
    assert made.request["Environment"]["SM_PROXY_AUTHORIZED_KEY"] == KEY


def test_a_shell_needs_the_current_entrypoint() -> None:
    image = ("/opt/sm-proxy/entrypoint.sh", "python", "train.py")
    made = make(training(), replace(SSH, shell=True), entrypoint=image)  # noqa: S604 - no process
    assert made.request["AlgorithmSpecification"]["ContainerArguments"] == [*image[1:], "train"]
    assert made.channel == CHANNEL


def test_another_script_of_that_name_is_not_ours() -> None:
    made = make(training(), entrypoint=("/app/entrypoint.sh",))
    assert made.request["AlgorithmSpecification"]["ContainerArguments"] == [
        "/app/entrypoint.sh",
        "train",
    ]


def test_a_job_made_by_an_older_version_gets_the_current_files() -> None:
    older = make(training()).request
    newer = Channel("s3://other/p", {"entrypoint.sh": b"new"})
    made = add_ssh("CreateTrainingJob", older, SSH, newer, None)
    assert [(change.path, change.after) for change in made.changes] == [
        ("InputDataConfig[0].DataSource.S3DataSource.S3Uri", newer.uri)
    ]
    assert made.channel == newer


def test_a_long_command_of_an_earlier_launch_stays_in_its_channel() -> None:
    older = make(training(), entrypoint=("x" * 300,)).request
    newer = Channel("s3://other/p", {"entrypoint.sh": b"new"})
    made = add_ssh("CreateTrainingJob", older, SSH, newer, None)
    assert (made.changes, made.channel) == ((), None)


def channels_named(*names: str) -> list[dict[str, Any]]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/d"}}
    return [{"ChannelName": name, "DataSource": source} for name in names]


def inputs_named(*names: str) -> list[dict[str, Any]]:
    return [
        {"InputName": name, "S3Input": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/d"}}
        for name in names
    ]


NUMBERS = list(map(str, range(100)))
ISOLATED = {"EnableNetworkIsolation": True}
PRIVATE = {"TrainingImageConfig": {"TrainingRepositoryAccessMode": "Vpc"}}


def rsa_key(length: int) -> str:
    """A public key of that many characters: 8 and a multiple of 4."""
    blob = b"\0\0\0\x07ssh-rsa".ljust((length - 8) // 4 * 3, b"x")
    return f"ssh-rsa {base64.b64encode(blob).decode()}"


REFUSALS: list[tuple[dict[str, Any], Ssh, str, str]] = [
    (training(ServerlessJobConfig={"JobType": "FineTuning"}), SSH, "serverless", "ResourceConfig"),
    (training(AlgorithmSpecification={}), SSH, "unsupported", "TrainingImage"),
    (training(**algorithm(AlgorithmName="arn")), SSH, "unsupported", "AlgorithmName"),
    (processing(AppSpecification={}), SSH, "unsupported", "ImageUri"),
    (training(**ISOLATED), SSH, "network-isolation", "--without-isolation"),
    (processing(NetworkConfig=ISOLATED), SSH, "network-isolation", "--without-isolation"),
    (training(**algorithm(**PRIVATE)), SSH, "image-unreadable", "--entrypoint"),
    (
        training(InputDataConfig=channels_named(*NUMBERS[:20])),
        SSH,
        "request-limit",
        "container init",
    ),
    (
        processing(ProcessingInputs=inputs_named(*NUMBERS[:10])),
        SSH,
        "request-limit",
        "container init",
    ),
    (training(InputDataConfig=channels_named("sm_proxy")), SSH, "unsupported", "another name"),
    (processing(ProcessingInputs=inputs_named("sm_proxy")), SSH, "unsupported", "another name"),
    (training(Environment=dict.fromkeys(NUMBERS[:98], "")), SSH, "request-limit", "Environment"),
    (training(), Ssh(keys=(rsa_key(516),)), "request-limit", "setup --identity-file"),
    (processing(), Ssh(keys=(rsa_key(260),)), "request-limit", "setup --identity-file"),
    (training(), Ssh(keys=("not a key",)), "usage", ".pub"),
    (training(), Ssh(keys=()), "no-identity", "sm-proxy setup"),
    (training(), replace(SSH, subnets=tuple(NUMBERS[:17])), "request-limit", "16"),
    (training(), replace(SSH, security_groups=tuple(NUMBERS[:6])), "request-limit", "5"),
]


@pytest.mark.parametrize(
    ("request_", "ssh", "code", "hint"), REFUSALS, ids=[f"{c}-{h}" for _, _, c, h in REFUSALS]
)
def test_a_job_that_cannot_have_ssh_is_refused_before_any_call(
    request_: dict[str, Any], ssh: Ssh, code: str, hint: str
) -> None:
    operation: Operation = (
        "CreateTrainingJob" if "TrainingJobName" in request_ else "CreateProcessingJob"
    )
    with pytest.raises(SmProxyError) as caught:
        requests.refuse(operation, request_, ssh)
    assert caught.value.code == code
    assert hint in caught.value.hint
    with pytest.raises(SmProxyError) as again:
        add_ssh(operation, request_, ssh, CHANNEL, None)
    assert again.value.line == caught.value.line


def test_a_job_without_a_network_is_refused_at_last() -> None:
    request = processing(NetworkConfig={})
    requests.refuse("CreateProcessingJob", request, SSH)
    for ssh in (SSH, replace(SSH, subnets=("subnet-1",))):
        with pytest.raises(SmProxyError) as caught:
            add_ssh("CreateProcessingJob", request, ssh, CHANNEL, ["x"])
        assert caught.value.code == "no-vpc"
        assert "--subnets" in caught.value.hint


def test_a_job_that_would_run_nothing_is_refused() -> None:
    with pytest.raises(SmProxyError) as caught:
        add_ssh("CreateProcessingJob", processing(), SSH, CHANNEL, [])
    assert (caught.value.code, "--entrypoint" in caught.value.hint) == ("unsupported", True)


def test_a_named_entry_point_makes_up_for_an_image_in_a_private_registry() -> None:
    make(training(**algorithm(**PRIVATE)), entrypoint=("python", "t.py"))


def test_the_twentieth_channel_and_the_hundredth_variable_are_accepted() -> None:
    make(training(InputDataConfig=channels_named(*NUMBERS[:19])))
    make(training(Environment=dict.fromkeys(NUMBERS[:97], "")))


def test_the_longest_key_that_a_variable_takes_is_accepted() -> None:
    make(training(), Ssh(keys=(rsa_key(512),)))
    make(processing(), Ssh(keys=(rsa_key(256),)))


def test_a_request_has_ssh_once_it_starts_our_script() -> None:
    assert not requests.has_ssh("CreateTrainingJob", training())
    assert requests.has_ssh("CreateTrainingJob", make(training()).request)
    assert not requests.needs_image("CreateTrainingJob", make(training()).request)
    named = algorithm(ContainerEntrypoint=["/opt/sm-proxy/entrypoint.sh"])
    assert requests.has_ssh("CreateTrainingJob", training(**named))


def test_a_lost_channel_comes_back() -> None:
    request = make(training()).request
    whole = request.pop("InputDataConfig")
    made = add_ssh("CreateTrainingJob", request, SSH, CHANNEL, None)
    assert made.request["InputDataConfig"] == whole


def test_our_channel_of_a_job_with_another_command_is_replaced_in_place() -> None:
    older = make(training()).request["InputDataConfig"]
    older[0]["InputMode"] = "FastFile"
    made = make(training(InputDataConfig=[*older, *channels_named("data")]))
    assert [item["ChannelName"] for item in made.request["InputDataConfig"]] == ["sm_proxy", "data"]
    assert made.request["InputDataConfig"][0]["InputMode"] == "File"
