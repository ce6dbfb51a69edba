"""Machines that wait for another job."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.aws.harness import Lab, NewJob, job_request, refusal

KEPT = {"ResourceConfig": {**job_request("x")["ResourceConfig"], "KeepAlivePeriodInSeconds": 3600}}


def pool_of(lab: Lab, name: str) -> tuple[str | None, str | None]:
    """The status of a job's pool, and the job that has taken it."""
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    found: dict[str, Any] = job.get("WarmPoolStatus", {})
    assert found.get("ResourceRetainedBillableTimeInSeconds", 0) < 600
    return found.get("Status"), found.get("ReusedByJob")


def test_a_failed_job_leaves_a_pool_that_a_matching_job_takes(lab: Lab, new_job: NewJob) -> None:
    first = new_job(**KEPT)
    assert pool_of(lab, first) == ("InUse", None)
    lab.control.set_status(first, "Failed")
    assert pool_of(lab, first) == ("Available", None)
    sagemaker = lab.client("sagemaker")
    listed = sagemaker.list_training_jobs(NameContains=first, WarmPoolStatusEquals="Available")
    assert [job["TrainingJobName"] for job in listed["TrainingJobSummaries"]] == [first]
    new_job(**KEPT, EnableNetworkIsolation=True, RemoteDebugConfig={})  # does not match
    new_job()  # does not ask for a pool
    assert pool_of(lab, first) == ("Available", None)
    second = new_job(**KEPT)
    for status in ("Pending", "Downloading"):
        lab.control.set_status(second, status)
    job = sagemaker.describe_training_job(TrainingJobName=second)
    steps = [step["Status"] for step in job["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading"]  # no wait for capacity
    assert pool_of(lab, first) == ("Reused", second)
    assert pool_of(lab, second) == ("InUse", None)
    third = new_job(**KEPT)  # the pool is taken
    assert pool_of(lab, first) == ("Reused", second)
    for name in (second, third):
        lab.control.set_status(name, "Failed", failure_reason="InternalServerError: machine")
        assert pool_of(lab, name) == ("Terminated", None)


def test_a_pool_is_kept_longer_or_ended_while_it_is_available(lab: Lab, new_job: NewJob) -> None:
    name = new_job(**KEPT)
    update = lab.client("sagemaker").update_training_job

    def changed(seconds: int) -> dict[str, Any]:
        resources = {"KeepAlivePeriodInSeconds": seconds}
        return {"TrainingJobName": name, "ResourceConfig": resources}

    assert "Its status is InUse" in refusal(update, **changed(7200))[1]
    lab.control.set_status(name, "Completed")
    update(**changed(7200))
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert job["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 7200
    assert pool_of(lab, name) == ("Available", None)
    update(**changed(0))
    assert pool_of(lab, name) == ("Terminated", None)
    assert "Its status is Terminated" in refusal(update, **changed(3600))[1]


@pytest.mark.parametrize("status", ["Completed", "Failed"])
def test_a_job_without_keep_alive_leaves_no_pool(lab: Lab, new_job: NewJob, status: str) -> None:
    name = new_job()
    lab.control.set_status(name, status)
    assert pool_of(lab, name) == (None, None)
