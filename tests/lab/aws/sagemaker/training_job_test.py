"""One training job, as DescribeTrainingJob shows it."""

from __future__ import annotations

import pytest

from sm_proxy_lab.aws.control_client import ControlError
from tests.lab.aws.harness import Lab, NewJob, job_request


def test_the_description_repeats_the_request(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    asked = job_request(name)
    del asked["Tags"]
    assert {key: job[key] for key in asked} == asked
    tags = lab.client("sagemaker").list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "lab"}]


def test_the_description_repeats_whatever_the_model_has(lab: Lab, new_job: NewJob) -> None:
    asked = {
        "RetryStrategy": {"MaximumRetryAttempts": 3},
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
        "MlflowConfig": {
            "MlflowResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:mlflow-app/x"
        },
        "ExperimentConfig": {"ExperimentName": "e"},
    }
    name = new_job(SessionChainingConfig={"EnableSessionTagChaining": True}, **asked)
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert {key: job.get(key) for key in asked} == asked
    assert "SessionChainingConfig" not in job


def test_the_description_has_more_than_the_request(lab: Lab, new_job: NewJob) -> None:
    preferred = [{"InstanceType": "ml.p5.48xlarge", "InstanceCount": 2}]
    rule = {"RuleConfigurationName": "LossNotDecreasing", "RuleEvaluatorImage": "image"}
    name = new_job(
        ResourceConfig={"InstancePreferences": preferred, "VolumeSizeInGB": 10},
        DebugRuleConfigurations=[rule],
    )
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert job["ResourceConfig"]["SelectedInstanceType"] == "ml.p5.48xlarge"
    assert job["ResourceConfig"]["SelectedInstanceCount"] == 2
    (status,) = job["DebugRuleEvaluationStatuses"]
    assert status["RuleConfigurationName"] == "LossNotDecreasing"
    assert "ProfilerRuleEvaluationStatuses" not in job


def test_a_job_records_all_its_statuses(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    made = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    life = ["Pending", "Downloading", "Training", "Uploading", "Completed"]
    for status in life:
        lab.control.set_status(name, status)
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    steps = job["SecondaryStatusTransitions"]
    assert [step["Status"] for step in steps] == ["Starting", *life]
    assert all("EndTime" in step for step in steps)
    assert steps[3]["StatusMessage"] == ("Training image download completed. Training in progress.")
    assert job["TrainingJobStatus"] == "Completed"
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]
    assert job["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"/{name}/output/model.tar.gz")
    assert job["ModelArtifacts"] == made["ModelArtifacts"]
    with pytest.raises(ControlError, match="has ended"):
        lab.control.set_status(name, "Training")


def test_the_same_status_only_changes_its_message(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    lab.control.set_status(name, "Starting", message="Launching requested ML instances")
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    messages = [step["StatusMessage"] for step in job["SecondaryStatusTransitions"]]
    assert messages == ["Launching requested ML instances"]


def test_a_failed_job_has_its_reason(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    lab.control.set_status(name, "Failed", failure_reason="AlgorithmError: out of memory")
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert (job["TrainingJobStatus"], job["FailureReason"]) == (
        "Failed",
        "AlgorithmError: out of memory",
    )
