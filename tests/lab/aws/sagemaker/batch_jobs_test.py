from __future__ import annotations

import uuid

import pytest

from sm_proxy_lab.machines import role_credentials
from tests.lab.aws.harness import Lab, refusal, vpc_config


def test_a_processing_job_is_created_changed_and_listed(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    name = f"processing-{uuid.uuid4().hex[:8]}"
    network = {"VpcConfig": vpc_config(lab)}
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        ProcessingResources={"ClusterConfig": cluster},
        AppSpecification={"ImageUri": "image"},
        RoleArn=role_credentials.ARN,
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
def test_a_missing_processing_or_transform_job_is_reported(lab: Lab, kind: str) -> None:
    describe = getattr(lab.client("sagemaker"), f"describe_{kind}_job")
    member = f"{kind.capitalize()}JobName"
    assert refusal(describe, **{member: "nope"}) == (
        "ValidationException",
        "Could not find requested job with name: nope",
        400,
    )
