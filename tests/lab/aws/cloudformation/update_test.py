"""Updates: what is added, changed, replaced and removed, and the way back after a failure."""

from __future__ import annotations

import copy
import uuid
from typing import Any

import pytest

from tests.lab.aws.cloudformation.helpers import Stack, account, body, log_group, network
from tests.lab.aws.harness import Lab, refusal

SIZE = {"Type": "String", "Default": "30"}
AMI = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"


def template(*names: str) -> dict[str, Any]:
    """Log groups with a parameter, and an output for each."""
    mark = uuid.uuid4().hex[:8]
    resources = {name: log_group(f"/{mark}/{name}") for name in names}
    for item in resources.values():
        item["Properties"]["RetentionInDays"] = {"Ref": "Days"}
    outputs = {name: {"Value": {"Ref": name}} for name in names}
    return {"Parameters": {"Days": SIZE}, "Resources": resources, "Outputs": outputs}


def days(value: int) -> dict[str, Any]:
    return {"Parameters": [{"ParameterKey": "Days", "ParameterValue": str(value)}]}


def groups(lab: Lab, made: dict[str, Any]) -> dict[str, int]:
    """The retention of the log groups whose names begin as the template's."""
    name = next(iter(made["Resources"].values()))["Properties"]["LogGroupName"]
    prefix = name.rpartition("/")[0]
    found = lab.client("logs").describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
    return {
        group["logGroupName"].removeprefix(f"{prefix}/"): group["retentionInDays"]
        for group in found
    }


@pytest.fixture
def stack(lab: Lab) -> Stack:
    return Stack(lab)


def test_nothing_to_update_is_refused(stack: Stack) -> None:
    made = template("A")
    stack.create(made, **days(7))
    stack.ended()
    nothing = ("ValidationError", "No updates are to be performed.", 400)
    same = {"StackName": stack.name, "Capabilities": ["CAPABILITY_IAM"]}
    kept = {"Parameters": [{"ParameterKey": "Days", "UsePreviousValue": True}]}
    assert refusal(stack.client.update_stack, **same, **kept, UsePreviousTemplate=True) == nothing
    assert refusal(stack.update, template=made, **days(7)) == nothing
    stack.delete()


def test_a_parameter_changes_resources_in_place(lab: Lab, stack: Stack) -> None:
    made = template("A", "B")
    stack.create(made, **days(7), Tags=[{"Key": "k", "Value": "v"}])
    stack.ended()
    found = stack.update(**days(30))
    assert found["StackStatus"] == "UPDATE_COMPLETE"
    assert found["Tags"] == [{"Key": "k", "Value": "v"}]
    assert found["LastUpdatedTime"] > found["CreationTime"]
    assert groups(lab, made) == {"A": 30, "B": 30}
    assert stack.told("A")[-2:] == ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"]
    assert stack.told(stack.name)[-3:] == [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]
    stack.delete()


def test_resources_are_added_replaced_and_removed(lab: Lab, stack: Stack) -> None:
    made = template("A", "B", "C")
    stack.create(made, **days(7))
    stack.ended()
    after = copy.deepcopy(made)
    del after["Resources"]["A"], after["Outputs"]["A"]
    name = after["Resources"]["B"]["Properties"]["LogGroupName"]
    after["Resources"]["B"]["Properties"]["LogGroupName"] = f"{name}-new"
    after["Resources"]["D"] = log_group(name.replace("B", "D"))
    after["Resources"]["D"]["Properties"]["RetentionInDays"] = 1
    assert stack.update(after, **days(7))["StackStatus"] == "UPDATE_COMPLETE"
    assert groups(lab, made) == {"B-new": 7, "C": 7, "D": 1}
    assert stack.outputs()["B"] == stack.physical("B") == f"{name}-new"
    shown = stack.client.describe_stack_resources(StackName=stack.name)["StackResources"]
    assert {item["LogicalResourceId"] for item in shown} == {"B", "C", "D"}
    assert stack.told("C") == ["CREATE_IN_PROGRESS"] * 2 + ["CREATE_COMPLETE"]
    replaced = [
        (item["ResourceStatus"], item["PhysicalResourceId"])
        for item in stack.events()
        if item["LogicalResourceId"] == "B"
    ]
    assert replaced[-4:] == [
        ("UPDATE_IN_PROGRESS", f"{name}-new"),
        ("UPDATE_COMPLETE", f"{name}-new"),
        ("DELETE_IN_PROGRESS", name),
        ("DELETE_COMPLETE", name),
    ]
    stack.delete()
    assert groups(lab, made) == {}


@pytest.mark.parametrize("failing", ["D", "update:C"])
def test_an_update_that_fails_goes_back(lab: Lab, stack: Stack, failing: str) -> None:
    made = template("A", "B", "C")
    stack.create(made, **days(7))
    before = stack.ended()
    after = copy.deepcopy(made)
    del after["Resources"]["A"], after["Outputs"]["A"]
    name = after["Resources"]["B"]["Properties"]["LogGroupName"]
    after["Resources"]["B"]["Properties"]["LogGroupName"] = f"{name}-new"
    # What fails comes last, when the others have changed.
    after["Resources"]["C"]["DependsOn"] = ["B"]
    after["Resources"]["D"] = log_group(name.replace("B", "D"), DependsOn=["B", "C"])
    after["Resources"]["D"]["Properties"]["RetentionInDays"] = 1
    lab.control.faults(stack={failing: "no"})
    if failing == "update:C":
        after["Parameters"]["Days"]["Default"] = "1"
    found = stack.update(after, **days(30))
    lab.control.clear_faults()
    assert found["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert groups(lab, made) == {"A": 7, "B": 7, "C": 7}
    assert found["Parameters"] == before["Parameters"]
    assert stack.outputs() == {item["OutputKey"]: item["OutputValue"] for item in before["Outputs"]}
    assert stack.physical("B") == name
    assert stack.update(**days(30))["StackStatus"] == "UPDATE_COMPLETE"
    assert groups(lab, made) == {"A": 30, "B": 30, "C": 30}
    stack.delete()
    assert groups(lab, made) == {}


def test_a_network_grows_and_shrinks(lab: Lab) -> None:
    region = "us-west-2"
    stack, before = Stack(lab, region), account(lab, region)
    small = network(2, "one", region, stack=stack.name)
    large = network(3, "per-zone", region, stack=stack.name, bastion_days=60)
    stack.create(body(small))
    assert stack.ended()["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    first = account(lab, region)
    assert stack.update(body(large))["StackStatus"] == "UPDATE_COMPLETE", stack.reasons()
    grown = account(lab, region)
    assert len(grown["subnets"]) == len(first["subnets"]) + 2
    assert len(grown["nats"]) == len(first["nats"]) + 2
    assert grown["vpcs"] == first["vpcs"]
    group = lab.client("autoscaling", region).describe_auto_scaling_groups()["AutoScalingGroups"][0]
    assert group["MaxInstanceLifetime"] == 60 * 86_400
    assert len(group["VPCZoneIdentifier"].split(",")) == 3
    lab.control.faults(stack={"update:Bastion": "no"})
    assert stack.update(body(small))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    lab.control.clear_faults()
    back = account(lab, region)
    assert {name: len(items) for name, items in back.items()} == {
        name: len(items) for name, items in grown.items()
    }
    assert stack.update(body(small))["StackStatus"] == "UPDATE_COMPLETE", stack.reasons()
    shrunk = account(lab, region)  # the names of NAT gateways and routes depend on the plan
    assert {name: len(items) for name, items in shrunk.items()} == {
        name: len(items) for name, items in first.items()
    }
    paused = [{"ParameterKey": "BastionCount", "ParameterValue": "0"}]
    assert stack.update(Parameters=paused)["StackStatus"] == "UPDATE_COMPLETE", stack.reasons()
    assert account(lab, region)["instances"] == before["instances"]
    made = stack.describe()["StackId"]
    assert stack.delete(made)["StackStatus"] == "DELETE_COMPLETE", stack.reasons(made)
    assert account(lab, region) == before


def test_the_tags_of_a_group_change_in_place(lab: Lab, stack: Stack) -> None:
    def tagged(**tags: str) -> dict[str, Any]:
        rows = [{"Key": k, "Value": v, "PropagateAtLaunch": True} for k, v in tags.items()]
        resources = {
            "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.8.0.0/24"}},
            "Subnet": {
                "Type": "AWS::EC2::Subnet",
                "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.8.0.0/24"},
            },
            "Template": {
                "Type": "AWS::EC2::LaunchTemplate",
                "Properties": {"LaunchTemplateData": {"ImageId": AMI, "InstanceType": "t4g.nano"}},
            },
            "Group": {
                "Type": "AWS::AutoScaling::AutoScalingGroup",
                "Properties": {
                    "MinSize": "0",
                    "MaxSize": "0",
                    "VPCZoneIdentifier": [{"Ref": "Subnet"}],
                    "LaunchTemplate": {"LaunchTemplateId": {"Ref": "Template"}, "Version": "1"},
                    "Tags": rows,
                },
            },
        }
        return {"Resources": resources}

    stack.create(tagged(a="1", b="2"))
    assert stack.ended()["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    name = stack.physical("Group")
    assert stack.update(tagged(b="3", c="4"))["StackStatus"] == "UPDATE_COMPLETE", stack.reasons()
    assert stack.physical("Group") == name
    found = lab.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    tags = {tag["Key"]: tag["Value"] for tag in found["AutoScalingGroups"][0]["Tags"]}
    assert {key: value for key, value in tags.items() if len(key) == 1} == {"b": "3", "c": "4"}
    stack.delete()
