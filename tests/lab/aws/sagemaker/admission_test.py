"""What Create refuses that the service model allows."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.lab.aws.harness import Lab, NewJob, job_request, refusal, vpc_config
from tests.lab.aws.sagemaker.tags_test import PROCESSING

IMAGE = job_request("x")["AlgorithmSpecification"]
S3 = {"S3DataType": "S3Prefix", "S3Uri": "s3://sm-proxy-lab/data"}


def channel(name: str, **more: Any) -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {**S3, **more}}}


def test_a_role_that_does_not_trust_sagemaker_is_refused(lab: Lab) -> None:
    name = f"role-{uuid.uuid4().hex[:8]}"
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    iam, sagemaker = lab.client("iam"), lab.client("sagemaker")
    document = {"Version": "2012-10-17", "Statement": [trust]}
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))
    arn = made["Role"]["Arn"]
    words = (
        f"Could not assume role {arn}. Please ensure that the role exists and allows principal "
        "'sagemaker.amazonaws.com' to assume the role."
    )
    training = job_request(f"job-{name}") | {"RoleArn": arn}
    processing = {"ProcessingJobName": f"job-{name}", **PROCESSING, "RoleArn": arn}
    for _ in range(2):
        refused = refusal(sagemaker.create_training_job, **training)
        assert refused == ("ValidationException", words, 400)
        assert refusal(sagemaker.create_processing_job, **processing)[1] == words
        trust["Principal"] = {"Service": "sagemaker.amazonaws.com"}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(document))
    sagemaker.create_training_job(**training)
    sagemaker.create_processing_job(**processing)
    iam.delete_role(RoleName=name)
    assert refusal(sagemaker.create_training_job, **training)[1] == words


@pytest.mark.parametrize("kind", ["Subnets", "SecurityGroupIds"])
def test_a_network_that_does_not_exist_is_refused(lab: Lab, kind: str) -> None:
    good, sagemaker = vpc_config(lab), lab.client("sagemaker")
    name = f"job-{uuid.uuid4().hex[:8]}"
    bad = good | {kind: ["sg-0a" if kind == "SecurityGroupIds" else "subnet-0a"]}
    code, words, _ = refusal(sagemaker.create_training_job, **job_request(name), VpcConfig=bad)
    assert code == "ValidationException"
    assert words.endswith("-0a' does not exist")
    processing = {"ProcessingJobName": name, **PROCESSING}
    network = {"VpcConfig": bad}
    assert refusal(sagemaker.create_processing_job, **processing, NetworkConfig=network)[1] == words
    sagemaker.create_training_job(**job_request(name), VpcConfig=good)


def test_a_quota_counts_the_instances_of_running_jobs(lab: Lab, new_job: NewJob) -> None:
    def wanting(count: int) -> dict[str, Any]:
        group = {"InstanceGroupName": "a", "InstanceType": "ml.p5.48xlarge", "InstanceCount": count}
        return {"ResourceConfig": {"InstanceGroups": [group], "VolumeSizeInGB": 10}}

    lab.control.faults(quotas={"ml.p5.48xlarge": 3})
    first = new_job(**wanting(2))
    create = lab.client("sagemaker").create_training_job
    code, words, status = refusal(create, **(job_request("too-many") | wanting(2)))
    assert (code, status) == ("ResourceLimitExceeded", 400)
    assert words.startswith(
        "The account-level service limit 'ml.p5.48xlarge for training job usage' is 3 Instances, "
        "with current utilization of 2 Instances and a request delta of 2 Instances."
    )
    new_job(**wanting(1))
    lab.control.set_status(first, "Failed")
    new_job(**wanting(2))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"EnableManagedSpotTraining": True}, "Invalid MaxWaitTimeInSeconds."),
        (
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 8},
            },
            "greater than or equal to MaxRuntimeInSeconds",
        ),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 9}},
            "managed spot training only",
        ),
        ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "TrainingImage"),
        ({"AlgorithmSpecification": {**IMAGE, "AlgorithmName": "a"}}, "either AlgorithmName"),
        ({"ResourceConfig": {"VolumeSizeInGB": 10}}, "InstanceGroups"),
        ({"InputDataConfig": [channel("a"), channel("a")]}, "unique"),
        (
            {"InputDataConfig": [channel("a"), channel("b", InstanceGroupNames=["g"])]},
            "for all channels or for none",
        ),
        (
            {"InputDataConfig": [channel("a", InstanceGroupNames=["g"])]},
            "no such instance group: g",
        ),
    ],
)
def test_members_that_contradict_each_other_are_refused(
    lab: Lab, changes: dict[str, Any], words: str
) -> None:
    create = lab.client("sagemaker").create_training_job
    code, message, _ = refusal(create, **(job_request("contradiction") | changes))
    assert code == "ValidationException"
    assert words in message


@pytest.mark.parametrize("path", ["", "/etc", "relative", "/opt/ml/processing/../../etc"])
def test_data_for_a_folder_of_the_image_is_refused(lab: Lab, path: str) -> None:
    source = {"S3Uri": "s3://sm-proxy-lab/data", "S3DataType": "S3Prefix", "LocalPath": path}
    inputs = [{"InputName": "given", "S3Input": source}]
    create = lab.client("sagemaker").create_processing_job
    processing = {"ProcessingJobName": "elsewhere", **PROCESSING, "ProcessingInputs": inputs}
    code, message, _ = refusal(create, **processing)
    assert code == "ValidationException"
    assert message == "LocalPath must begin with /opt/ml/processing/: given"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"AlgorithmSpecification": {**IMAGE, "ContainerEntrypoint": []}}, "containerEntrypoint"),
        ({"AlgorithmSpecification": {**IMAGE, "ContainerArguments": ["x"] * 101}}, "Arguments"),
        ({"AlgorithmSpecification": {**IMAGE, "ContainerArguments": ["x" * 257]}}, "Arguments"),
        ({"InputDataConfig": [channel(f"c{number}") for number in range(21)]}, "inputDataConfig"),
        ({"InputDataConfig": [channel("a b")]}, "channelName"),
        ({"Environment": {f"N{number}": "" for number in range(101)}}, "environment"),
        ({"Environment": {"N": "x" * 513}}, "environment"),
        ({"HyperParameters": {"n": "x" * 2501}}, "hyperParameters"),
        ({"Tags": [{"Key": f"k{number}", "Value": ""} for number in range(51)]}, "tags"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "maxRuntimeInSeconds"),
    ],
)
def test_limits_of_the_service_model_are_held(
    lab: Lab, changes: dict[str, Any], where: str
) -> None:
    create = lab.client("sagemaker", parameter_validation=False).create_training_job
    code, message, _ = refusal(create, **(job_request("too-much") | changes))
    assert code == "ValidationException"
    assert where in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"EnableNetworkIsolation": True}, "training jobs in network isolation"),
        (
            {
                "AlgorithmSpecification": {
                    "AlgorithmName": "arn:aws:sagemaker:us-east-1:123456789012:algorithm/a",
                    "TrainingInputMode": "File",
                }
            },
            "algorithms from AWS Marketplace or algorithm resources",
        ),
        *(
            (
                {"AlgorithmSpecification": {**IMAGE, "TrainingImage": image}},
                "built-in algorithms",
            )
            for image in (
                "811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1",
                "438346466558.dkr.ecr.eu-west-1.amazonaws.com/linear-learner:1",
            )
        ),
    ],
)
def test_remote_debug_is_refused_where_it_is_not_supported(
    lab: Lab, changes: dict[str, Any], reason: str
) -> None:
    create = lab.client("sagemaker").create_training_job
    code, message, _ = refusal(create, **(job_request("no-debug") | changes))
    assert (code, message) == (
        "ValidationException",
        f"Remote debug is not supported for {reason}.",
    )


def test_isolated_and_serverless_jobs_are_accepted_and_described(lab: Lab, new_job: NewJob) -> None:
    name = new_job(EnableNetworkIsolation=True, RemoteDebugConfig={})
    describe = lab.client("sagemaker").describe_training_job
    assert describe(TrainingJobName=name)["EnableNetworkIsolation"] is True
    serverless = {
        "BaseModelArn": "arn:aws:sagemaker:us-east-1:aws:hub-content/h/Model/m/1.0.0",
        "JobType": "FineTuning",
        "AcceptEula": True,
    }
    request = job_request(f"serverless-{uuid.uuid4().hex[:8]}")
    for member in ("AlgorithmSpecification", "ResourceConfig"):
        del request[member]
    lab.client("sagemaker").create_training_job(**request, ServerlessJobConfig=serverless)
    job = describe(TrainingJobName=request["TrainingJobName"])
    assert job["ServerlessJobConfig"] == serverless
    assert "AlgorithmSpecification" not in job
