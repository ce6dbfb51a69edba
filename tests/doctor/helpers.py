"""Helpers for the tests of several checks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from sm_proxy.aws.job_kinds import Kind
from sm_proxy.doctor.check import Context
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.job import Job

NOW = datetime.now(timezone.utc)
GROUPS = {"processing": "/aws/sagemaker/ProcessingJobs", "endpoint": "/aws/sagemaker/Endpoints/x"}


def failure(check: Callable[[Context], str], examined: Context) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        check(examined)
    return caught.value


def job_of(kind: Kind) -> Job:
    return Job(
        name="x", kind=kind, status="InProgress", phase="running", created=NOW, noun="job",
        log_group=GROUPS[kind], status_since=NOW, vpc_source="source",
    )  # fmt: skip
