"""The files of an ended job, listed as an SFTP server would list them."""

from __future__ import annotations

import stat
import uuid
from typing import Any

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.kinds import training
from sm_proxy.transfer.s3.ended import Files
from tests.fakes import FakeAws, description
from tests.transfer.s3.conftest import BUCKET, Account, config

pytestmark = pytest.mark.xdist_group("transfer-s3")


def job(aws: Aws) -> Job:
    found = training.describe(aws, "my-job")
    assert found is not None
    return found


@pytest.fixture
def files(aws: Aws, s3: Any) -> Files:
    prefix = uuid.uuid4().hex
    for key in ("step-1", "step-1/a", "step-10", "step-1//odd", "marker/"):
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=b"four")
    account = Account(aws, status="Completed", overall="Completed", **config(prefix))
    return Files(account, job(account))


def test_folders_are_listed(files: Files) -> None:
    for path in ("/opt/ml/checkpoints", "opt/ml/checkpoints/"):
        found = {(item.filename, stat.S_ISDIR(item.st_mode)) for item in files.listdir_attr(path)}
        assert found == {("step-1", False), ("step-1", True), ("step-10", False), ("marker", True)}
    (below,) = files.listdir_attr("/opt/ml/checkpoints/step-1")
    assert (below.filename, below.st_size) == ("a", 4)
    assert files.listdir_attr("/opt/ml/checkpoints/marker") == []


def test_files_and_folders_have_attributes(files: Files) -> None:
    found = files.stat("/opt/ml/checkpoints/step-10")
    assert (found.st_mode, found.st_size) == (stat.S_IFREG | 0o644, 4)
    assert stat.S_ISDIR(files.stat("/opt/ml/checkpoints/marker").st_mode)
    assert stat.S_ISDIR(files.lstat("/opt/ml/checkpoints").st_mode)
    with pytest.raises(FileNotFoundError):
        files.stat("/opt/ml/checkpoints/step")


@pytest.mark.parametrize("path", ["/opt/ml/model", "/opt/ml", "/opt/ml/checkpoints/../model", "x"])
def test_other_folders_are_gone(files: Files, path: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        files.stat(path)
    assert caught.value.code == "job-ended"
    assert "/opt/ml/checkpoints" in caught.value.message


def test_a_job_without_checkpoints_has_no_files() -> None:
    aws = FakeAws(DescribeTrainingJob=description("Completed", "Completed"))
    with pytest.raises(SmProxyError, match="no checkpoints"):
        Files(aws, job(aws))
