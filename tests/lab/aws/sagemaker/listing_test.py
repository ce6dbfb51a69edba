from __future__ import annotations

import uuid
from typing import Any

from tests.lab.aws.harness import Lab, NewJob, refusal


def test_lists_are_filtered_sorted_and_paged(lab: Lab, new_job: NewJob) -> None:
    mark = uuid.uuid4().hex[:8]
    names = [new_job(f"{mark}-{number}") for number in range(12)]
    lab.control.set_status(names[3], "Failed")
    sagemaker = lab.client("sagemaker")

    def listed(**asked: Any) -> list[str]:
        pages = sagemaker.get_paginator("list_training_jobs").paginate(NameContains=mark, **asked)
        return [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]

    assert listed() == names
    assert listed(SortBy="Name", SortOrder="Descending", MaxResults=5) == sorted(
        names, reverse=True
    )
    assert listed(StatusEquals="Failed") == [names[3]]
    jobs = {job["TrainingJobName"]: job for job in lab.control.jobs()}
    assert listed(CreationTimeAfter=jobs[names[10]]["CreationTime"])[-2:] == names[10:]
    first = sagemaker.list_training_jobs(NameContains=mark)
    assert len(first["TrainingJobSummaries"]) == 10
    assert first["TrainingJobSummaries"][0]["SecondaryStatus"] == "Starting"
    assert refusal(sagemaker.list_training_jobs, NextToken="nonsense")[0] == "ValidationException"
