"""What kinds of jobs make of a request."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy_lab.image_config import ImageConfig, parse
from sm_proxy_lab.job_kinds import KINDS
from sm_proxy_lab.job_kinds.request import Input
from sm_proxy_lab.job_kinds.training import TrainingRequest
from sm_proxy_lab.machines import image

IMAGE = parse({"config": {"Entrypoint": ["run", "it"], "Cmd": ["default"]}})
GIVEN = {"ContainerEntrypoint": ["other"]}
MORE = {"ContainerArguments": ["a b"]}


@pytest.mark.parametrize(
    ("kind", "given", "command"),
    [
        ("training", {}, ["run", "it", "train"]),
        ("training", MORE, ["run", "it", "a b"]),
        ("training", GIVEN, ["other"]),
        ("training", {**GIVEN, **MORE}, ["other", "a b"]),
        ("processing", {}, ["run", "it", "default"]),
        ("processing", MORE, ["run", "it", "a b"]),
        ("processing", GIVEN, ["other"]),
        ("processing", {**GIVEN, **MORE}, ["other", "a b"]),
    ],
)
def test_entry_point_and_arguments(kind: str, given: dict[str, Any], command: list[str]) -> None:
    job = KINDS[kind]("j", "us-east-1", {KINDS[kind].IMAGE[0]: given})
    assert job.command(IMAGE) == command


@pytest.mark.parametrize("bare", [False, True])
def test_the_labs_own_image_gets_no_word_and_may_be_bare(bare: bool) -> None:
    own = ImageConfig(image.own_entrypoint("/x/t", bare=bare), is_own=True)
    expected = [*([] if bare else ["/opt/sm-proxy/entrypoint.sh"]), "/opt/program/t"]
    assert TrainingRequest("j", "us-east-1", {}).command(own) == expected
    assert image.starts_ours(own.entrypoint) is not bare


def test_an_empty_image_config_runs_as_root() -> None:
    assert parse({}) == parse({"config": {"User": None, "Env": None, "Labels": None}})
    assert parse({"config": {"Env": ["A=b=c"]}}).environment == {"A": "b=c"}


def test_variables_of_the_request_win_over_those_of_the_service_and_the_image() -> None:
    request = {"Environment": {"AWS_REGION": "mine", "OTHER": "mine"}}
    job = TrainingRequest("j", "us-east-1", request)
    image = parse({"config": {"Env": ["OTHER=image", "HOSTNAME=image", "PATH=/image"]}})
    found = job.environment(image, job.instances()[0], ["algo-1"], "eth0")
    assert [found[name] for name in ("AWS_REGION", "OTHER", "HOSTNAME", "PATH")] == [
        *("mine", "mine", "algo-1", "/image")
    ]


@pytest.mark.parametrize(
    ("mode", "copied", "read_only"),
    [("File", True, False), ("FastFile", True, True), ("Pipe", False, False)],
)
def test_the_mode_of_a_channel_is_its_own_or_the_jobs(
    mode: str, copied: bool, read_only: bool
) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}
    channel = {"ChannelName": "a", "DataSource": {"S3DataSource": source}}
    uri = "s3://bucket/in" if copied else None
    expected = Input("opt/ml/input/data/a", uri, read_only=read_only)
    for given, default in (({"InputMode": mode}, "File"), ({}, mode)):
        request = {
            "InputDataConfig": [channel | given],
            "AlgorithmSpecification": {"TrainingInputMode": default},
        }
        assert TrainingRequest("j", "us-east-1", request).inputs() == [expected]


def test_checkpoints_are_restored_if_there_are_any() -> None:
    request = {"CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"}}
    assert TrainingRequest("j", "us-east-1", request).inputs() == [
        Input("opt/ml/checkpoints", "s3://bucket/checkpoints", optional=True)
    ]
