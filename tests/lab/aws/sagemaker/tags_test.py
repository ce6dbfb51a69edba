"""The tags of jobs."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.lab.aws.harness import Lab, job_request, refusal

PROCESSING: dict[str, Any] = {
    "ProcessingResources": {
        "ClusterConfig": {
            "InstanceCount": 1,
            "InstanceType": "ml.m5.large",
            "VolumeSizeInGB": 10,
        }
    },
    "AppSpecification": {"ImageUri": "image"},
    "RoleArn": job_request("x")["RoleArn"],
    "Tags": [{"Key": "team", "Value": "lab"}],
}


@pytest.mark.parametrize("kind", ["training", "processing"])
def test_tags_are_added_replaced_and_removed(lab: Lab, kind: str) -> None:
    sagemaker = lab.client("sagemaker")
    name = f"Tagged-{uuid.uuid4().hex[:8]}"
    if kind == "training":
        made = sagemaker.create_training_job(**job_request(name))
        arn = made["TrainingJobArn"]
    else:
        made = sagemaker.create_processing_job(ProcessingJobName=name, **PROCESSING)
        arn = made["ProcessingJobArn"]
    assert arn.endswith(f":{kind}-job/{name.lower()}")

    def tags() -> dict[str, str]:
        found = sagemaker.list_tags(ResourceArn=arn)["Tags"]
        return {tag["Key"]: tag["Value"] for tag in found}

    assert tags() == {"team": "lab"}
    new = [{"Key": "team", "Value": "other"}, {"Key": "sm-proxy:relaunched-from", "Value": "job"}]
    sagemaker.add_tags(ResourceArn=arn, Tags=new)
    assert tags() == {"team": "other", "sm-proxy:relaunched-from": "job"}
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["team", "nope"])
    assert tags() == {"sm-proxy:relaunched-from": "job"}
    many = [{"Key": f"key-{number}", "Value": ""} for number in range(50)]
    assert refusal(sagemaker.add_tags, ResourceArn=arn, Tags=many)[0] == "ValidationException"
    assert len(tags()) == 1


@pytest.mark.parametrize("keys", [["aws:made-by"], ["twice", "twice"]])
def test_a_job_with_tags_that_are_not_allowed_is_refused(lab: Lab, keys: list[str]) -> None:
    sagemaker = lab.client("sagemaker")
    request = job_request(f"job-{uuid.uuid4().hex[:8]}")
    request["Tags"] = [{"Key": key, "Value": ""} for key in keys]
    assert refusal(sagemaker.create_training_job, **request)[0] == "ValidationException"
    name = request["TrainingJobName"]
    code, _, _ = refusal(sagemaker.describe_training_job, TrainingJobName=name)
    assert code == "ValidationException"
