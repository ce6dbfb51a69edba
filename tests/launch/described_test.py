"""A described job becomes the request that creates it again."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from botocore.model import StructureShape
from botocore.session import Session
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_proxy.launch import described, shapes
from sm_proxy.launch.changes import Draft
from sm_proxy.launch.shapes import OPERATIONS, Operation
from tests.launch.generated import values
from tests.launch.newer import needs
from tests.launch.replaying import replay

_MODEL = Session().get_service_model("sagemaker")
SHAPES = {name: described.request_shape(Session(), name) for name in OPERATIONS}
DESCRIPTIONS = {
    name: values(_MODEL.operation_model(name.replace("Create", "Describe")).output_shape)
    for name in OPERATIONS
}
ROLE = "arn:aws:iam::111122223333:role/train"


def description(**changes: Any) -> dict[str, Any]:
    """What DescribeTrainingJob returns for a job that has failed."""
    return {
        "TrainingJobName": "bert-1",
        "TrainingJobArn": "arn:aws:sagemaker:eu-west-1:111122223333:training-job/bert-1",
        "TrainingJobStatus": "Failed",
        "FailureReason": "AlgorithmError: , exit code: 1",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/out/bert-1/output/model.tar.gz"},
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "WarmPoolStatus": {"Status": "Available"},
        "ResponseMetadata": {"HTTPStatusCode": 200},
        **changes,
    }


def made(*tags: dict[str, str], name: str = "bert-2", **changes: Any) -> dict[str, Any]:
    """The request for the job with these changes."""
    shape = SHAPES["CreateTrainingJob"]
    draft = Draft(described.request_from(description(**changes), tags, shape))
    described.rename(draft, "CreateTrainingJob", name)
    return draft.request


def test_members_that_only_describe_has_are_left_out() -> None:
    assert set(made()) == {
        *("TrainingJobName", "AlgorithmSpecification", "RoleArn", "OutputDataConfig"),
        *("ResourceConfig", "StoppingCondition", "Tags"),
    }


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"ExperimentConfig": {"TrialName": "t"}}, "ExperimentConfig"),
        ({"DebugRuleConfigurations": [{"RuleConfigurationName": "r"}]}, "DebugRuleConfigurations"),
        ({"ProfilerRuleConfigurations": [{}]}, "ProfilerRuleConfigurations"),
        ({"ModelPackageConfig": {"ModelPackageGroupArn": "arn"}}, "ModelPackageConfig"),
    ],
)
def test_members_that_would_bill_or_mix_with_the_old_run_are_left_out(
    changes: dict[str, Any], gone: str
) -> None:
    assert gone not in made(**changes)
    [change] = described.left_out(description(**changes))
    assert (change.path, change.before, change.after) == (gone, changes[gone], None)


@needs("CreateTrainingJob", "ResourceConfig", "InstancePreferences")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_instances_that_the_service_chose_are_left_out(operation: Operation) -> None:
    chosen = {"SelectedInstanceType": "ml.m5.large", "SelectedInstanceCount": 1}
    prefer = {"InstancePreferences": [{"InstanceType": "ml.m5.large"}], "VolumeSizeInGB": 30}
    told: dict[str, Any] = {shapes.of(operation).NAME: "job"}
    if operation == "CreateTrainingJob":
        told["ResourceConfig"] = {**prefer, **chosen}
    else:
        told["ProcessingResources"] = {"ClusterConfig": {**prefer, **chosen}}
    request = described.request_from(told, [], SHAPES[operation])
    found = request.get("ResourceConfig") or request["ProcessingResources"]["ClusterConfig"]
    assert found == prefer


def test_instance_groups_stand_alone() -> None:
    group = {"InstanceGroupName": "a", "InstanceType": "ml.m5.large", "InstanceCount": 2}
    told = {"InstanceType": "ml.m5.large", "InstanceCount": 0, "InstanceGroups": [group]}
    assert made(ResourceConfig=told)["ResourceConfig"] == {"InstanceGroups": [group]}


def test_empty_values_that_a_request_must_not_have_are_left_out() -> None:
    image = {"TrainingImage": "image", "TrainingInputMode": "File"}
    void: dict[str, Any] = {
        "AlgorithmName": "",
        "ContainerEntrypoint": [],
        "ContainerArguments": None,
    }
    algorithm = {**image, **void, "MetricDefinitions": []}
    request = made(AlgorithmSpecification=algorithm, InputDataConfig=[], VpcConfig={})
    assert request["AlgorithmSpecification"] == {**image, "MetricDefinitions": []}
    assert not {"InputDataConfig", "VpcConfig"} & set(request)


def test_tags_are_copied_but_those_of_aws() -> None:
    team = {"Key": "team", "Value": "nlp"}
    theirs = {"Key": "aws:cloudformation:stack-name", "Value": "s"}
    earlier = {"Key": described.RELAUNCHED_FROM, "Value": "bert-0"}
    last = {"Key": described.RELAUNCHED_FROM, "Value": "bert-1"}
    assert made(team, theirs, earlier)["Tags"] == [team, last]


def test_there_are_no_more_tags_than_the_service_takes() -> None:
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    tags = made(*many)["Tags"]
    assert len(tags) == 50
    assert tags[-1]["Key"] == described.RELAUNCHED_FROM


@pytest.mark.parametrize("write", [str, json.dumps])
def test_the_toolkit_learns_the_new_name(write: Any) -> None:
    parameters = {"sagemaker_job_name": write("bert-1"), "lr": "1"}
    request = made(name="bert-2", HyperParameters=parameters)
    assert request["TrainingJobName"] == "bert-2"
    assert request["HyperParameters"] == {"sagemaker_job_name": write("bert-2"), "lr": "1"}


def test_another_name_in_the_parameters_stays() -> None:
    parameters = {"sagemaker_job_name": '"other"'}
    assert made(name="bert-2", HyperParameters=parameters)["HyperParameters"] == parameters


@pytest.mark.parametrize("operation", OPERATIONS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_description_makes_a_valid_request(operation: Operation, data: st.DataObject) -> None:
    shape: StructureShape = SHAPES[operation]
    told = data.draw(DESCRIPTIONS[operation])
    told = {shapes.of(operation).NAME: "a-job", **told}
    required = {name: shape.members[name] for name in shape.required_members}
    told |= {name: data.draw(values(member)) for name, member in required.items()}
    before = copy.deepcopy(told)
    request = described.request_from(told, [], shape)
    assert not ParamValidator().validate(request, shape).has_errors()
    assert told == before
    assert described.request_from(request, [], shape) == request
    draft = Draft(request)
    described.rename(draft, operation, "new")
    assert not ParamValidator().validate(draft.request, shape).has_errors()
    assert replay(request, draft.changes) == draft.request
