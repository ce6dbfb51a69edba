"""Which folders SageMaker copies to S3."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.transfer.s3 import synced
from sm_proxy.transfer.s3.synced import Folder
from tests.fakes import FakeAws, description


def of_training(**changes: Any) -> tuple[Folder, ...]:
    aws = FakeAws(DescribeTrainingJob=description(**changes))
    return synced.folders(aws, "training", "my-job")


def of_processing(*outputs: dict[str, Any]) -> tuple[Folder, ...]:
    answer = {
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 2}},
        "ProcessingOutputConfig": {"Outputs": [{"S3Output": output} for output in outputs]},
    }
    return synced.folders(FakeAws(DescribeProcessingJob=answer), "processing", "my-job")


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("s3://buc", ""), ("s3://buc/", ""), ("s3://buc/a", "a/"), ("s3://buc/a/b/", "a/b/")],
)
def test_checkpoints_have_a_prefix(url: str, prefix: str) -> None:
    found = of_training(CheckpointConfig={"S3Uri": url})
    assert found == (Folder("/opt/ml/checkpoints", "buc", prefix, 1),)


@pytest.mark.parametrize(
    "config", [None, {}, {"S3Uri": "https://x"}, {"S3Uri": "s3://buc", "LocalPath": "x"}]
)
def test_other_jobs_have_no_synced_folders(config: dict[str, str] | None) -> None:
    assert of_training(CheckpointConfig=config) == ()
    assert synced.folders(FakeAws(), "endpoint", "my-job") == ()


def test_continuous_outputs_are_copied_while_a_job_runs() -> None:
    output = {"S3Uri": "s3://buc/out", "LocalPath": "/opt/ml/processing/out"}
    modes = ({"S3UploadMode": "Continuous"}, {"S3UploadMode": "EndOfJob"})
    found = of_processing(*(output | mode for mode in modes))
    assert found == (Folder("/opt/ml/processing/out", "buc", "out/", 2),)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/ckpt/a", "p/a"),
        ("/ckpt//a/./b", "p/a/b"),
        ("/ckpt", None),
        ("/ckpt2/a", None),
        ("ckpt/a", None),
        ("/ckpt/x/../a", None),
    ],
)
def test_a_file_has_a_key(path: str, key: str | None) -> None:
    assert Folder("/ckpt", "buc", "p/", 1).key_of(path) == key
