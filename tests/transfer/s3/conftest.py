"""The lab's S3 in a process of its own, and our client for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.transfer.model import Entry
from sm_proxy_lab import account
from tests.fakes import FakeAws, description
from tests.lab.aws.harness import REGION, Lab, running

BUCKET = "sm-proxy-lab"
MakeEntry = Callable[..., Entry]


class Account(FakeAws):
    """Answers about a job from a table; S3 is the lab's."""

    def __init__(self, real: Aws, **job: Any) -> None:
        super().__init__(DescribeTrainingJob=description(**job))
        self._real = real

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        if service == "s3":
            return self._real.call(service, operation, **parameters)
        return super().call(service, operation, **parameters)


def config(prefix: str, **more: str) -> dict[str, Any]:
    """A job's configuration with that prefix for its checkpoints."""
    return {"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/{prefix}/", **more}}


@pytest.fixture(scope="session")
def s3_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The AWS endpoint of the whole session."""
    with running(tmp_path_factory.mktemp("aws")) as found:
        yield found


@pytest.fixture
def lab(s3_lab: Lab) -> Iterator[Lab]:
    """The AWS endpoint with no faults."""
    yield s3_lab
    s3_lab.control.clear_faults()


@pytest.fixture
def aws(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Our calls, made to the lab as its user."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", lab.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.SECRET_KEY)
    return Aws(region=REGION)


@pytest.fixture
def s3(lab: Lab) -> Any:
    """A client of botocore, for what a test prepares and looks at."""
    session = botocore.session.Session()
    return session.create_client(
        "s3",
        region_name=REGION,
        endpoint_url=lab.endpoint,
        aws_access_key_id=account.ACCESS_KEY,
        aws_secret_access_key=account.SECRET_KEY,
    )


@pytest.fixture
def entry(tmp_path: Path) -> MakeEntry:
    """Makes the entry of a file below /opt/ml/checkpoints; its target is in `tmp_path`."""

    def make(name: str, size: int, *, age_s: int = 60, **changes: Any) -> Entry:
        modified = int(time.time()) - age_s
        known: dict[str, Any] = {
            "kind": "file",
            "source": f"/opt/ml/checkpoints/{name}",
            "target": str(tmp_path / "here" / name),
            "size": size,
            "mode": 0o640,
            "modified": modified,
            "accessed": modified - 5,
        }
        return Entry(**{**known, **changes})

    return make
