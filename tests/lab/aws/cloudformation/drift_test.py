"""Drift: what somebody has changed behind a stack's back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.aws.cloudformation.helpers import Stack
from tests.lab.aws.cloudformation.network_test import body, plan
from tests.lab.aws.harness import Lab, refusal

REGION = "eu-central-1"
Change = Callable[[Lab, Stack], None]


@pytest.fixture(scope="module")
def stack(lab_process: Lab) -> Iterator[Stack]:
    """A network that the tests change."""
    made = Stack(lab_process, REGION)
    made.create(body(plan(2, "none", REGION, stack=made.name)))
    assert made.ended()["StackStatus"] == "CREATE_COMPLETE", made.reasons()
    yield made
    made.delete()


def detect(stack: Stack) -> dict[str, Any]:
    """Detect drift, and wait for the result."""
    started = stack.client.detect_stack_drift(StackName=stack.name)
    found = stack.client.describe_stack_drift_detection_status(
        StackDriftDetectionId=started["StackDriftDetectionId"]
    )
    assert found["DetectionStatus"] == "DETECTION_COMPLETE"
    return dict(found)


def drifted(stack: Stack) -> dict[str, tuple[str, list[str]]]:
    """Logical id -> its status, and the paths of its differences."""
    rows = stack.client.describe_stack_resource_drifts(
        StackName=stack.name, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"]
    )["StackResourceDrifts"]
    return {
        row["LogicalResourceId"]: (
            row["StackResourceDriftStatus"],
            [item["PropertyPath"] for item in row.get("PropertyDifferences", [])],
        )
        for row in rows
    }


def test_a_new_stack_is_in_sync(stack: Stack) -> None:
    found = detect(stack)
    rows = stack.client.describe_stack_resource_drifts(StackName=stack.name)["StackResourceDrifts"]
    differences = {
        row["LogicalResourceId"]: row["PropertyDifferences"]
        for row in rows
        if row.get("PropertyDifferences")
    }
    assert differences == {}
    assert found["StackDriftStatus"] == "IN_SYNC"
    assert {row["StackResourceDriftStatus"] for row in rows} == {"IN_SYNC"}
    checked = {row["ResourceType"] for row in rows}
    assert {"AWS::EC2::SecurityGroup", "AWS::AutoScaling::AutoScalingGroup"} <= checked
    assert stack.describe()["DriftInformation"]["StackDriftStatus"] == "IN_SYNC"


def test_a_rule_that_was_removed_is_found(lab: Lab, stack: Stack) -> None:
    ec2, group = lab.client("ec2", REGION), stack.physical("JobGroup")
    rules = [{"Name": "group-id", "Values": [group]}]
    before = ec2.describe_security_group_rules(Filters=rules)["SecurityGroupRules"]
    rule = next(item for item in before if not item["IsEgress"] and item.get("FromPort") == 22)
    peer = rule["ReferencedGroupInfo"]["GroupId"]
    permission = {
        **{name: rule[name] for name in ("IpProtocol", "FromPort", "ToPort")},
        "UserIdGroupPairs": [{"GroupId": peer, "Description": rule.get("Description", "")}],
    }
    ec2.revoke_security_group_ingress(
        GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
    )
    assert detect(stack)["StackDriftStatus"] == "DRIFTED"
    (name,) = drifted(stack)
    assert name == "JobIngress22"
    assert drifted(stack)[name][0] == "MODIFIED"
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    assert detect(stack)["DriftedStackResourceCount"] == 0


def test_a_group_that_was_opened_is_found(lab: Lab, stack: Stack) -> None:
    ec2, group = lab.client("ec2", REGION), stack.physical("BastionGroup")
    world = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=world)
    detect(stack)
    assert drifted(stack) == {"BastionGroup": ("MODIFIED", ["/SecurityGroupEgress"])}
    made = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    rule = next(
        item
        for item in made["SecurityGroupRules"]
        if item.get("CidrIpv4") == "0.0.0.0/0" and item["IpProtocol"] == "-1"
    )
    ec2.revoke_security_group_egress(
        GroupId=group, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]]
    )
    assert detect(stack)["StackDriftStatus"] == "IN_SYNC"


def test_another_size_of_the_group_is_found(lab: Lab, stack: Stack) -> None:
    scaling, name = lab.client("autoscaling", REGION), stack.physical("Bastion")
    was = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]
    scaling.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, DesiredCapacity=0)
    detect(stack)
    status, paths = drifted(stack)["Bastion"]
    assert status == "MODIFIED"
    assert "/DesiredCapacity" in paths
    sizes = {key: was[key] for key in ("MinSize", "DesiredCapacity")}
    scaling.update_auto_scaling_group(AutoScalingGroupName=name, **sizes)
    assert detect(stack)["StackDriftStatus"] == "IN_SYNC"


def test_another_policy_of_a_role_is_found(lab: Lab, stack: Stack) -> None:
    iam, arn = lab.client("iam", REGION), stack.physical("UserPolicy")
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
    detect(stack)
    assert drifted(stack) == {"UserPolicy": ("MODIFIED", ["/PolicyDocument"])}
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy_version(PolicyArn=arn, VersionId=made["PolicyVersion"]["VersionId"])
    assert detect(stack)["StackDriftStatus"] == "IN_SYNC"


def test_what_was_deleted_is_found(lab: Lab, stack: Stack) -> None:
    name = stack.physical("S3Endpoint")
    lab.client("ec2", REGION).delete_vpc_endpoints(VpcEndpointIds=[name])
    detect(stack)
    assert drifted(stack) == {"S3Endpoint": ("DELETED", [])}


def test_a_stack_that_does_not_exist_has_no_drift(stack: Stack) -> None:
    refused = refusal(stack.client.detect_stack_drift, StackName="no-such-stack")
    assert refused[:2] == ("ValidationError", "Stack [no-such-stack] does not exist")
