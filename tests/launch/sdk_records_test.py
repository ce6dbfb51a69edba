"""Requests that the SageMaker SDKs have sent get ssh, and nothing else of them changes."""

from __future__ import annotations

import copy
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from sm_proxy.launch import channel, request, shapes
from sm_proxy.launch.channel import Channel
from sm_proxy.launch.request import Ssh
from tests.fakes import HOST_KEY
from tests.sdk import records

CHANNEL = Channel("s3://sm-proxy-lab/sm-proxy/channel", {channel.ENTRYPOINT: b"#!/bin/sh\n"})
SSH = Ssh(keys=(HOST_KEY,), subnets=("subnet-0123456789abcdef0",), security_groups=("sg-0123abcd",))
VARIABLES = ("SM_PROXY_AUTHORIZED_KEY", "SM_PROXY_KEEP_CONNECTED", "SM_PROXY_KEEP_FAILURE")


def test_every_program_has_a_record() -> None:
    folder = records.FOLDER.parent / "sdk" / "programs"
    assert {path.stem for path in folder.glob("*.py")} == set(records.NAMES)
    assert len(records.NAMES) == 7


@pytest.mark.parametrize("name", records.NAMES)
def test_a_recorded_request_gets_ssh(name: str) -> None:
    record = records.load(name)
    shape = shapes.of(record.operation)
    given = copy.deepcopy(record.request)
    made = request.add_ssh(record.operation, given, SSH, CHANNEL, ["bash", "-m", "start.sh"])
    assert given == record.request

    container = [str(part) for part in shape.CONTAINER]
    words, before = at(made.request, container), at(given, container)
    program = [*before.get("ContainerEntrypoint", []), *before.get("ContainerArguments", [])]
    assert words["ContainerEntrypoint"] == ["sh", f"{path_of(name)}/entrypoint.sh"]
    assert words["ContainerArguments"] == (program or ["bash", "-m", "start.sh", "train"])

    inputs = at(made.request, shape.INPUTS)
    assert inputs[:-1] == (at(given, shape.INPUTS) or [])
    assert CHANNEL.uri in str(inputs[-1])

    changed = {change.path.removesuffix(".SecurityGroupIds") for change in made.changes}
    assert changed == {
        *(f"Environment.{variable}" for variable in VARIABLES),
        *(".".join((*container, word)) for word in ("ContainerEntrypoint", "ContainerArguments")),
        f"{'.'.join(map(str, shape.INPUTS))}[{len(inputs) - 1}]",
        ".".join(map(str, shape.VPC)),
        "StoppingCondition.MaxRuntimeInSeconds",
    }


def path_of(name: str) -> str:
    return channel.PROCESSING_PATH if "processor" in name else channel.TRAINING_PATH


def at(node: Any, path: Any) -> Any:
    for part in path:
        node = (node or {}).get(part)
    return node


@pytest.mark.parametrize("name", records.NAMES)
def test_a_changed_request_is_valid_and_does_not_change_again(name: str) -> None:
    record = records.load(name)
    words = ["bash", "-m", "start.sh"]
    made = request.add_ssh(record.operation, record.request, SSH, CHANNEL, words)
    model = botocore.session.Session().get_service_model("sagemaker")
    shape: Any = model.operation_model(record.operation).input_shape
    report = ParamValidator().validate(made.request, shape)
    assert not report.has_errors(), report.generate_report()
    again = request.add_ssh(record.operation, made.request, SSH, CHANNEL, words)
    assert again.request == made.request
    assert again.changes == ()


def test_the_code_in_a_record_can_be_put_back_into_s3() -> None:
    [(key, archive)] = records.load("sdk2_framework").contents().items()
    assert key.endswith("/source/sourcedir.tar.gz")
    again = records.of("CreateTrainingJob", {}, {key: archive})
    assert again.objects == records.load("sdk2_framework").objects
