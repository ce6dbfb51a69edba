"""Training, processing and transform jobs, as a client meets them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from sm_proxy_lab.aws.control_client import ControlError
from tests.lab.aws.harness import Lab, job_request, refusal

NewJob = Callable[..., str]


def test_a_job_is_born_starting_and_told_to_the_supervisor(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("InProgress", "Starting")
    assert [step["StatusMessage"] for step in job["SecondaryStatusTransitions"]] == [
        "Starting the training job"
    ]
    assert "TrainingStartTime" not in job
    assert lab.event(name)["request"]["Environment"] == {
        "SM_PROXY_AUTHORIZED_KEY": "ssh-ed25519 AAAA you@laptop"
    }


def test_what_was_asked_for_comes_back(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    asked = job_request(name)
    del asked["Tags"]
    assert {key: job[key] for key in asked} == asked
    tags = lab.client("sagemaker").list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "lab"}]


def test_the_whole_life_of_a_job(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
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
    with pytest.raises(ControlError, match="has ended"):
        lab.control.set_status(name, "Training")


def test_the_same_status_only_changes_its_message(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    lab.control.set_status(name, "Starting", message="Launching requested ML instances")
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    messages = [step["StatusMessage"] for step in job["SecondaryStatusTransitions"]]
    assert messages == ["Launching requested ML instances"]


def test_a_failed_job_says_why(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    lab.control.set_status(name, "Failed", failure_reason="AlgorithmError: out of memory")
    job = lab.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert (job["TrainingJobStatus"], job["FailureReason"]) == (
        "Failed",
        "AlgorithmError: out of memory",
    )


def test_stopping(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    sagemaker = lab.client("sagemaker")
    lab.control.set_status(name, "Training")
    sagemaker.stop_training_job(TrainingJobName=name)
    assert lab.event(name, "job-stop") == {"event": "job-stop", "job": name}
    assert lab.control.set_status(name, "Uploading")["TrainingJobStatus"] == "Stopping"
    lab.control.set_status(name, "Stopped")
    assert refusal(sagemaker.stop_training_job, TrainingJobName=name) == (
        "ValidationException",
        "The request was rejected because the training job is in status Stopped.",
        400,
    )


def test_remote_debug_is_updated_only_while_the_job_runs(lab: Lab, new_job: NewJob) -> None:
    name = new_job(RemoteDebugConfig={"EnableRemoteDebug": False})
    sagemaker = lab.client("sagemaker")
    wanted = {"TrainingJobName": name, "RemoteDebugConfig": {"EnableRemoteDebug": True}}
    assert refusal(sagemaker.update_training_job, **wanted)[0] == "ValidationException"
    lab.control.set_status(name, "Training")
    sagemaker.update_training_job(**wanted)
    job = sagemaker.describe_training_job(TrainingJobName=name)
    assert job["RemoteDebugConfig"] == {"EnableRemoteDebug": True}


def test_a_job_that_is_not_there(lab: Lab, new_job: NewJob) -> None:
    name = new_job("Case-" + uuid.uuid4().hex[:8])
    for region, other in (("us-east-1", name.upper()), ("eu-west-1", name)):
        describe = lab.client("sagemaker", region).describe_training_job
        assert refusal(describe, TrainingJobName=other) == (
            "ValidationException",
            "Requested resource not found.",
            400,
        )


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (
            "no_underscore",
            "satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        ("x" * 64, "have length less than or equal to 63"),
    ],
)
def test_illegal_names(lab: Lab, name: str, rule: str) -> None:
    words = (
        f"1 validation error detected: Value '{name}' at 'trainingJobName' failed to satisfy "
        f"constraint: Member must {rule}"
    )
    describe = lab.client("sagemaker").describe_training_job
    assert refusal(describe, TrainingJobName=name) == ("ValidationException", words, 400)


def test_limits_of_the_environment(lab: Lab) -> None:
    create = lab.client("sagemaker").create_training_job
    request = job_request("too-much") | {"Environment": {"KEY": "x" * 513}}
    code, words, _ = refusal(create, **request)
    assert code == "ValidationException"
    assert "'environment.KEY.member'" in words
    assert "less than or equal to 512" in words


def test_names_are_taken_once(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    code, words, _ = refusal(lab.client("sagemaker").create_training_job, **job_request(name))
    assert code == "ResourceInUse"
    assert words.startswith("Training job names must be unique within an AWS account and region")


def test_lists(lab: Lab, new_job: NewJob) -> None:
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


def test_processing_jobs(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    name = f"processing-{uuid.uuid4().hex[:8]}"
    network = {"VpcConfig": {"Subnets": ["subnet-0a"], "SecurityGroupIds": ["sg-0a"]}}
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        ProcessingResources={"ClusterConfig": cluster},
        AppSpecification={"ImageUri": "image"},
        RoleArn="arn:aws:iam::123456789012:role/job-role",
        Environment={"A": "b"},
        NetworkConfig=network,
    )
    job = sagemaker.describe_processing_job(ProcessingJobName=name)
    assert job["ProcessingJobStatus"] == "InProgress"
    assert (job["NetworkConfig"], job["Environment"]) == (network, {"A": "b"})
    lab.control.set_batch_status("processing", name, "Failed", failure_reason="out of memory")
    found = sagemaker.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]
    assert [job["ProcessingJobStatus"] for job in found] == ["Failed"]


@pytest.mark.parametrize("kind", ["processing", "transform"])
def test_no_such_job_of_another_kind(lab: Lab, kind: str) -> None:
    describe = getattr(lab.client("sagemaker"), f"describe_{kind}_job")
    member = f"{kind.capitalize()}JobName"
    assert refusal(describe, **{member: "nope"}) == (
        "ValidationException",
        "Could not find requested job with name: nope",
        400,
    )


def test_no_such_endpoint(lab: Lab) -> None:
    assert refusal(lab.client("sagemaker").describe_endpoint, EndpointName="nope") == (
        "ValidationException",
        'Could not find endpoint "arn:aws:sagemaker:us-east-1:123456789012:endpoint/nope".',
        400,
    )


def test_logs_go_to_the_region_of_their_job(lab: Lab, new_job: NewJob) -> None:
    name = new_job(region="eu-west-1")
    assert lab.event(name)["region"] == "eu-west-1"
    group = "/aws/sagemaker/TrainingJobs"
    lab.control.put_logs(group, f"{name}/algo-1-5", [{"timestamp": 1, "message": "x"}])
    found = lab.client("logs", "eu-west-1").describe_log_streams(
        logGroupName=group, logStreamNamePrefix=f"{name}/"
    )
    assert len(found["logStreams"]) == 1
