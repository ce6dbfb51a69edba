"""Another instance type, or one small node."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from sm_proxy.launch import described, sizes
from sm_proxy.launch.changes import Draft
from sm_proxy.launch.shapes import Operation
from tests.launch.replaying import replay

_SESSION = Session()
SHAPES = {
    name: described.request_shape(_SESSION, name)
    for name in ("CreateTrainingJob", "CreateProcessingJob")
}
PLAN = "arn:aws:sagemaker:eu-west-1:111122223333:training-plan/p"


def training(resources: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ResourceConfig": {"VolumeSizeInGB": 30, **resources}, **more}


def shrunk(request: dict[str, Any], operation: Operation = "CreateTrainingJob") -> dict[str, Any]:
    draft = Draft(request)
    sizes.shrink(draft, operation, SHAPES[operation])
    assert replay(request, draft.changes) == draft.request
    shape = SHAPES[operation].members
    for name, value in draft.request.items():
        assert not ParamValidator().validate(value, shape[name]).has_errors()
    return draft.request


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ml.g5.48xlarge", "ml.g5.xlarge"),
        ("ml.g5.12xlarge", "ml.g5.xlarge"),
        ("ml.m5.24xlarge", "ml.m5.large"),
        ("ml.t3.2xlarge", "ml.t3.medium"),
        ("ml.p4d.24xlarge", "ml.p4d.24xlarge"),
        ("ml.p3.16xlarge", "ml.p3.2xlarge"),
        ("ml.c5n.18xlarge", "ml.c5n.xlarge"),
        ("ml.new9.32xlarge", "ml.new9.32xlarge"),
    ],
)
def test_the_smallest_type_of_the_family_is_chosen(old: str, new: str) -> None:
    request = shrunk(training({"InstanceType": old, "InstanceCount": 8}))
    assert request["ResourceConfig"] == {
        "VolumeSizeInGB": 30,
        "InstanceType": new,
        "InstanceCount": 1,
    }


@pytest.mark.skipif(
    "ml.p5.4xlarge"
    not in _SESSION.get_service_model("sagemaker")
    .shape_for("ProcessingInstanceType")
    .metadata["enum"],
    reason="this botocore knows no ml.p5 for processing jobs",
)
def test_a_type_that_the_operation_does_not_permit_is_not_chosen() -> None:
    cluster = {"InstanceType": "ml.p5.48xlarge", "InstanceCount": 2, "VolumeSizeInGB": 30}
    request = shrunk({"ProcessingResources": {"ClusterConfig": cluster}}, "CreateProcessingJob")
    assert request["ProcessingResources"]["ClusterConfig"] == {
        "InstanceType": "ml.p5.4xlarge",
        "InstanceCount": 1,
        "VolumeSizeInGB": 30,
    }
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600}


@pytest.mark.parametrize(("before", "after"), [(600, 600), (86400, 3600)])
def test_a_smaller_job_runs_for_an_hour_at_most(before: int, after: int) -> None:
    told = training(
        {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        StoppingCondition={"MaxRuntimeInSeconds": before},
    )
    assert shrunk(told)["StoppingCondition"]["MaxRuntimeInSeconds"] == after


def test_one_node_of_several_groups_remains_and_reads_every_channel() -> None:
    def group(name: str, count: int) -> dict[str, Any]:
        return {"InstanceGroupName": name, "InstanceType": "ml.c5.18xlarge", "InstanceCount": count}

    def channel(*groups: str) -> dict[str, Any]:
        names = {"InstanceGroupNames": list(groups)} if groups else {}
        source = {"S3DataType": "S3Prefix", "S3Uri": "s3://b/x", **names}
        return {"ChannelName": "c", "DataSource": {"S3DataSource": source}}

    channels = [channel("gpu"), channel("cpu", "gpu"), channel()]
    groups = {"InstanceGroups": [group("cpu", 4), group("gpu", 2)]}
    request = shrunk(training(groups, InputDataConfig=channels))
    left = {"InstanceGroupName": "cpu", "InstanceType": "ml.c5.xlarge", "InstanceCount": 1}
    assert request["ResourceConfig"]["InstanceGroups"] == [left]
    assert request["InputDataConfig"] == [channel("cpu"), channel("cpu"), channel()]


def test_preferred_types_and_reserved_capacity_are_given_up() -> None:
    prefer = [
        {"InstanceType": "ml.g5.48xlarge", "InstanceCount": 4},
        {"InstanceType": "ml.p4d.24xlarge"},
    ]
    told = training({"InstancePreferences": prefer, "TrainingPlanArn": PLAN})
    assert shrunk(told)["ResourceConfig"] == {
        "InstanceType": "ml.g5.xlarge",
        "InstanceCount": 1,
        "VolumeSizeInGB": 30,
    }


def test_another_type_leaves_the_number_of_nodes() -> None:
    def made(resources: dict[str, Any]) -> dict[str, Any]:
        draft = Draft(training(resources))
        sizes.set_type(draft, "CreateTrainingJob", "ml.m5.large")
        found: dict[str, Any] = draft.get(("ResourceConfig",))
        return found

    one = {"InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
    assert made(
        {"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 3, "TrainingPlanArn": PLAN}
    ) == {
        **one,
        "InstanceCount": 3,
    }
    prefer = {"InstancePreferences": [{"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 2}]}
    assert made(prefer) == {**one, "InstanceCount": 2}
    group = {"InstanceGroupName": "a", "InstanceType": "ml.g5.xlarge", "InstanceCount": 2}
    assert made({"InstanceGroups": [group]})["InstanceGroups"] == [
        {**group, "InstanceType": "ml.m5.large"}
    ]


def test_hyperparameters_that_want_several_nodes_are_named() -> None:
    parameters = dict.fromkeys(["sagemaker_mpi_enabled", "sagemaker_program", "lr"], "1")
    assert sizes.needs_several_nodes({"HyperParameters": parameters}) == ["sagemaker_mpi_enabled"]
    assert sizes.needs_several_nodes({}) == []
