"""Copying a job's checkpoints to the lab's S3 while it runs."""

from __future__ import annotations

import asyncio
import os
import uuid
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from sm_proxy_lab import account, job_output
from sm_proxy_lab.job_data import JobData
from sm_proxy_lab.job_kinds.processing import ProcessingRequest
from sm_proxy_lab.job_kinds.request import Output
from sm_proxy_lab.job_kinds.training import TrainingRequest
from sm_proxy_lab.job_output import JobOutput
from tests.lab.aws.harness import Lab
from tests.waits import await_true

BUCKET = "sm-proxy-lab"


@pytest.fixture
def s3(lab: Lab) -> Any:
    return botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=lab.endpoint,
        aws_access_key_id=account.ACCESS_KEY,
        aws_secret_access_key=account.SECRET_KEY,
    )


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def output(lab: Lab, tmp_path: Path, prefix: str) -> JobOutput:
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt" / "old").write_text("came from S3")
    outputs = [Output("ckpt", f"s3://{BUCKET}/{prefix}/")]
    return JobOutput(JobData(lab.endpoint, "us-east-1"), outputs, tmp_path)


def objects(s3: Any, prefix: str) -> dict[str, bytes]:
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", ())
    return {
        item["Key"].removeprefix(f"{prefix}/"): s3.get_object(Bucket=BUCKET, Key=item["Key"])[
            "Body"
        ].read()
        for item in found
    }


def test_new_and_changed_files_are_copied(
    s3: Any, output: JobOutput, tmp_path: Path, prefix: str
) -> None:
    folder = tmp_path / "ckpt"
    (folder / "step 1").mkdir()
    (folder / "step 1" / "a+ü").write_bytes(b"\0\1")
    (folder / "link").symlink_to("old")
    output.copy()
    assert objects(s3, prefix) == {"step 1/a+ü": b"\0\1"}
    (folder / "old").write_text("new")
    (folder / "step 1" / "a+ü").unlink()
    output.copy()
    assert objects(s3, prefix) == {"step 1/a+ü": b"\0\1", "old": b"new"}


def test_outputs_are_copied_while_the_job_runs(
    s3: Any, output: JobOutput, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_output, "EVERY_S", 0.01)

    async def run() -> None:
        running = asyncio.create_task(output.run())
        (tmp_path / "ckpt" / "a").write_text("1")
        await asyncio.to_thread(await_true, lambda: objects(s3, prefix) == {"a": b"1"}, 60)
        running.cancel()

    asyncio.run(run())


def test_a_refusal_does_not_end_it(
    lab: Lab, s3: Any, output: JobOutput, tmp_path: Path, prefix: str
) -> None:
    (tmp_path / "ckpt" / "a").write_text("1")
    lab.control.faults(deny=["s3:PutObject"])
    output.copy()
    lab.control.clear_faults()
    os.utime(tmp_path / "ckpt" / "a", (1, 1))
    output.copy()
    assert objects(s3, prefix) == {"a": b"1"}


def test_requests_name_what_is_copied() -> None:
    training = TrainingRequest("j", "us-east-1", {"CheckpointConfig": {"S3Uri": "s3://b/c"}})
    assert training.outputs() == [Output("opt/ml/checkpoints", "s3://b/c")]
    assert TrainingRequest("j", "us-east-1", {}).outputs() == []
    places = [
        {"LocalPath": f"/opt/ml/processing/{mode}", "S3Uri": "s3://b/o", "S3UploadMode": mode}
        for mode in ("Continuous", "EndOfJob")
    ]
    named = {"ProcessingOutputConfig": {"Outputs": [{"S3Output": place} for place in places]}}
    processing = ProcessingRequest("j", "us-east-1", named)
    assert processing.outputs() == [Output("opt/ml/processing/Continuous", "s3://b/o")]
