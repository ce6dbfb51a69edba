"""Training jobs, as a client of the API sees them."""

from __future__ import annotations

import uuid

from tests.lab.aws.harness import Lab, NewJob, job_request, refusal


def test_a_new_job_is_starting_and_reported_to_the_supervisor(lab: Lab, new_job: NewJob) -> None:
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


def test_a_stopped_job_is_stopping_until_it_has_uploaded(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    sagemaker = lab.client("sagemaker")
    lab.control.set_status(name, "Training")
    sagemaker.stop_training_job(TrainingJobName=name)
    assert lab.event(name, "job-stop") == {"event": "job-stop", "kind": "training", "job": name}
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
    told = {"event": "job-remote-debug", "kind": "training", "job": name, "on": True}
    assert lab.event(name, "job-remote-debug") == told


def test_remote_debug_cannot_be_switched_on_in_network_isolation(lab: Lab, new_job: NewJob) -> None:
    name = new_job(EnableNetworkIsolation=True, RemoteDebugConfig={})
    update = lab.client("sagemaker").update_training_job
    lab.control.set_status(name, "Training")
    on = refusal(update, TrainingJobName=name, RemoteDebugConfig={"EnableRemoteDebug": True})
    assert on[0] == "ValidationException"
    update(TrainingJobName=name, RemoteDebugConfig={"EnableRemoteDebug": False})


def test_a_missing_training_job_is_reported(lab: Lab, new_job: NewJob) -> None:
    name = new_job("Case-" + uuid.uuid4().hex[:8])
    for region, other in (("us-east-1", name.upper()), ("eu-west-1", name)):
        describe = lab.client("sagemaker", region).describe_training_job
        assert refusal(describe, TrainingJobName=other) == (
            "ValidationException",
            "Requested resource not found.",
            400,
        )


def test_a_second_job_of_the_same_name_is_refused(lab: Lab, new_job: NewJob) -> None:
    name = new_job()
    code, words, _ = refusal(lab.client("sagemaker").create_training_job, **job_request(name))
    assert code == "ResourceInUse"
    assert words.startswith("Training job names must be unique within an AWS account and region")


def test_a_missing_endpoint_is_reported(lab: Lab) -> None:
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
