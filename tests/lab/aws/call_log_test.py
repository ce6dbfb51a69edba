from __future__ import annotations

import time
from collections.abc import Callable

from tests.lab.aws.harness import Lab, refusal


def test_every_call_is_recorded(lab: Lab, new_job: Callable[..., str]) -> None:
    before, began = len(lab.calls()), time.time()
    name = new_job()
    lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    refusal(lab.client("sagemaker").describe_training_job, TrainingJobName="nope")
    lab.client("sts").get_caller_identity()
    lab.control.faults()
    created, described, refused, who = lab.calls()[before:]
    assert created["operation"] == "CreateTrainingJob"
    assert "request" not in created  # a job's environment may hold secrets
    assert (described["service"], described["operation"]) == ("sagemaker", "DescribeTrainingJob")
    assert described["request"] == {"TrainingJobName": name}
    assert described["bytes"] > 500
    assert began - 0.001 <= described["time"] <= time.time() + 0.001
    assert (refused["error"], refused["status"]) == ("ValidationException", 400)
    assert (who["service"], who["operation"]) == ("sts", "GetCallerIdentity")
