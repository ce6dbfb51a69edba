from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.job import Job
from tests.fakes import JOB

CREATED = datetime(2026, 11, 23, 9, tzinfo=timezone.utc)


def a_job(**changes: Any) -> Job:
    known: dict[str, Any] = {
        "name": JOB,
        "kind": "training",
        "status": "Training",
        "phase": "running",
        "created": CREATED,
        "noun": "training job",
        "log_group": "/aws/sagemaker/TrainingJobs",
        "status_since": CREATED,
        "subnets": ("subnet-1",),
    }
    return Job(**{**known, **changes})


def test_a_running_job_passes_every_check() -> None:
    job = a_job()
    assert job.running
    assert not job.over
    job.refuse_if_over()
    job.refuse_unless_reachable()
    job.refuse_missing_node("algo-1")


def test_a_starting_job_is_neither_running_nor_over() -> None:
    job = a_job(phase="starting", status="Pending")
    assert (job.running, job.over) == (False, False)
    job.refuse_if_over()


def test_an_ended_job_is_an_error() -> None:
    job = a_job(phase="ended", status="Stopped")
    with pytest.raises(SmProxyError, match="training job my-job is Stopped") as caught:
        job.refuse_if_over()
    assert caught.value.code == "job-ended"
    assert (job.running, job.over) == (False, True)


def test_a_failed_job_shows_its_reason_as_printable_text() -> None:
    job = a_job(phase="failed", failure_reason="AlgorithmError:\n\x1b[31mTraceback")
    with pytest.raises(SmProxyError) as caught:
        job.refuse_if_over()
    assert caught.value.code == "job-failed"
    assert "AlgorithmError: \ufffd[31mTraceback" in caught.value.line
    assert "no reason given" in a_job(phase="failed").ending().message


def test_a_job_outside_of_a_vpc_is_an_error() -> None:
    with pytest.raises(SmProxyError) as caught:
        a_job(subnets=(), kind="endpoint", noun="endpoint").refuse_unless_reachable()
    assert caught.value.code == "no-vpc"
    assert "endpoint my-job" in caught.value.message
    assert "enable-remote-debug" not in caught.value.line


def test_the_error_of_a_training_job_outside_of_a_vpc_names_remote_debug() -> None:
    with pytest.raises(SmProxyError) as caught:
        a_job(subnets=()).refuse_unless_reachable()
    assert caught.value.code == "no-vpc"
    assert "sm-proxy enable-remote-debug my-job" in caught.value.hint
    assert "sm-proxy relaunch my-job --remote-debug" in caught.value.hint


def test_a_job_with_remote_debug_needs_no_vpc() -> None:
    a_job(subnets=(), remote_debug=True).refuse_unless_reachable()


def test_a_node_beyond_the_last_is_an_error() -> None:
    job = a_job(nodes=2)
    job.refuse_missing_node("algo-2")
    job.refuse_missing_node("i-0123456789abcdef0")  # only the log names the instances
    with pytest.raises(SmProxyError, match="there is no algo-3") as caught:
        job.refuse_missing_node("algo-3")
    assert caught.value.code == "bad-name"
    assert "algo-1 to algo-2" in caught.value.hint


def test_the_latest_end_follows_from_its_limits() -> None:
    assert a_job().must_end_by is None
    assert a_job(max_runtime_s=60).must_end_by == CREATED + timedelta(minutes=1)
    both = a_job(max_runtime_s=60, max_wait_s=120).must_end_by
    assert both == CREATED + timedelta(minutes=3)


def test_a_job_can_be_written_as_json() -> None:
    fields = dataclasses.asdict(a_job())
    plain = {name: value for name, value in fields.items() if not isinstance(value, datetime)}
    assert set(fields) - set(plain) == {"created", "status_since"}
    read = json.loads(json.dumps(plain))
    assert all(isinstance(value, str | int | list | None) for value in read.values())
