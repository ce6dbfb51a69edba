"""A copy of a job may run other code: what has changed since the job was created."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import drift
from tests.fakes import FakeAws

BEFORE = datetime(2026, 1, 1, tzinfo=timezone.utc)
CREATED = datetime(2026, 1, 2, tzinfo=timezone.utc)
AFTER = datetime(2026, 1, 3, tzinfo=timezone.utc)
DENIED = SmProxyError("access-denied", "denied", "Allow it.")
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:v1"
TRAINING = {
    "AlgorithmSpecification": {"TrainingImage": IMAGE},
    "HyperParameters": {"sagemaker_submit_directory": '"s3://code/x/sourcedir.tar.gz"'},
    "InputDataConfig": [
        {"ChannelName": name, "DataSource": {"S3DataSource": {"S3Uri": f"s3://data/{name}"}}}
        for name in ("train", "code")
    ],
}


def aws_with(pushed: Any = BEFORE, modified: Any = BEFORE) -> FakeAws:
    images = {"imageDetails": [{"imagePushedAt": pushed}]}
    objects = {"Contents": [{"Key": "a", "LastModified": BEFORE}, {"LastModified": modified}]}
    return FakeAws(
        DescribeImages=pushed if isinstance(pushed, Exception) else images,
        ListObjectsV2=modified if isinstance(modified, Exception) else objects,
    )


def test_unchanged_code_and_images_are_not_reported() -> None:
    aws = aws_with()
    assert drift.since(aws, "CreateTrainingJob", TRAINING, CREATED) == []
    listed = [asked for operation, asked in aws.calls if operation == "ListObjectsV2"]
    assert [(item["Bucket"], item["Prefix"]) for item in listed] == [
        ("code", "x/sourcedir.tar.gz"),
        ("data", "code"),
    ]


def test_a_moved_tag_and_new_code_are_reported() -> None:
    assert drift.since(aws_with(AFTER, AFTER), "CreateTrainingJob", TRAINING, CREATED) == [
        f"The image {IMAGE} was pushed again after the job was created",
        "The code s3://code/x/sourcedir.tar.gz has changed since the job was created",
        "The code s3://data/code has changed since the job was created",
    ]


def test_missing_code_is_reported() -> None:
    aws = FakeAws(DescribeImages={}, ListObjectsV2={})
    assert drift.since(aws, "CreateTrainingJob", TRAINING, CREATED) == [
        "The code s3://code/x/sourcedir.tar.gz is gone",
        "The code s3://data/code is gone",
    ]


def test_inputs_without_read_permission_are_not_reported() -> None:
    assert drift.since(aws_with(DENIED, DENIED), "CreateTrainingJob", TRAINING, CREATED) == []


@pytest.mark.parametrize("image", ["ubuntu:22.04", "", f"{IMAGE}@sha256:{'a' * 64}"])
def test_an_image_that_cannot_move_is_not_asked_for(image: str) -> None:
    aws = FakeAws()
    request = {"AlgorithmSpecification": {"TrainingImage": image}}
    assert drift.since(aws, "CreateTrainingJob", request, CREATED) == []
    assert aws.calls == []


def test_the_code_of_a_processing_job_is_looked_at() -> None:
    request = {
        "AppSpecification": {"ImageUri": IMAGE},
        "ProcessingInputs": [{"InputName": "code", "S3Input": {"S3Uri": "s3://data/run.py"}}],
    }
    found = drift.since(aws_with(BEFORE, AFTER), "CreateProcessingJob", request, CREATED)
    assert found == ["The code s3://data/run.py has changed since the job was created"]


@pytest.mark.parametrize(
    "answer", [{}, {"KeyCount": 0}, ServiceError("NoSuchBucket", "", "s3:ListObjectsV2")]
)
def test_inputs_that_are_gone_are_found(answer: Any) -> None:
    code, *inputs = ("s3://code/x/sourcedir.tar.gz", "s3://data/train", "s3://data/code")
    assert drift.missing_inputs(FakeAws(ListObjectsV2=answer), "CreateTrainingJob", TRAINING) == [
        code,
        *inputs,
    ]
    there = FakeAws(ListObjectsV2={"Contents": [{"Key": "a"}]})
    assert drift.missing_inputs(there, "CreateTrainingJob", TRAINING) == []


@pytest.mark.parametrize("answer", [DENIED, ServiceError("InternalError", "", "s3:ListObjectsV2")])
def test_inputs_without_read_permission_count_as_existing(answer: Exception) -> None:
    assert drift.missing_inputs(FakeAws(ListObjectsV2=answer), "CreateTrainingJob", TRAINING) == []


def test_an_access_point_is_not_asked_for() -> None:
    arn = "s3://arn:aws:s3:eu-west-1:111122223333:accesspoint/p/code"
    source = {"S3DataSource": {"S3Uri": arn}}
    request = {"InputDataConfig": [{"ChannelName": "code", "DataSource": source}]}
    assert drift.missing_inputs(FakeAws(), "CreateTrainingJob", request) == []
    assert drift.since(FakeAws(), "CreateTrainingJob", request, CREATED) == []
