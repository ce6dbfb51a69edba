"""Drift: what somebody has changed behind a stack's back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy_lab.aws.cloudformation.resource_type import GoneError, Made
from sm_proxy_lab.aws.cloudformation.types.machines import AutoScalingGroup
from tests.lab.aws.cloudformation.helpers import Stack, body, network
from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.iam import identities

REGION = "eu-central-1"


@pytest.fixture(scope="module")
def stack(lab_process: Lab) -> Iterator[Stack]:
    """A network that the tests change."""
    made = Stack(lab_process, REGION)
    made.create(body(network(2, "none", REGION, stack=made.name)))
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


@pytest.fixture
def small(lab: Lab) -> Iterator[Stack]:
    """A stack of a gateway and a bucket."""
    made = Stack(lab, REGION)
    types = {"Gateway": "AWS::EC2::InternetGateway", "Bucket": "AWS::S3::Bucket"}
    made.create({"Resources": {name: {"Type": kind} for name, kind in types.items()}})
    assert made.ended()["StackStatus"] == "CREATE_COMPLETE", made.reasons()
    yield made
    lab.control.clear_faults()
    made.delete()


def test_deleted_resources_are_found(lab: Lab, small: Stack) -> None:
    name = small.physical("Gateway")
    lab.client("ec2", REGION).delete_internet_gateway(InternetGatewayId=name)
    s3 = identities.client(lab, "s3", identities.ADMINISTRATOR, REGION)
    s3.delete_bucket(Bucket=small.physical("Bucket"))
    detect(small)
    assert drifted(small) == dict.fromkeys(("Gateway", "Bucket"), ("DELETED", []))


def test_a_deleted_group_shows_as_an_empty_list() -> None:
    scaling = SimpleNamespace(describe_auto_scaling_groups=lambda **_: {"AutoScalingGroups": []})
    context: Any = SimpleNamespace(client=lambda _: scaling)
    with pytest.raises(GoneError):
        AutoScalingGroup().read(context, Made("group"), {})


def test_a_resource_that_the_caller_may_not_read_does_not_count_as_deleted(
    lab: Lab, small: Stack
) -> None:
    lab.control.faults(deny=["ec2:DescribeInternetGateways"])
    started = small.client.detect_stack_drift(StackName=small.name)
    found = small.client.describe_stack_drift_detection_status(
        StackDriftDetectionId=started["StackDriftDetectionId"]
    )
    assert found["DetectionStatus"] == "DETECTION_FAILED"
    assert "[Gateway]" in found["DetectionStatusReason"]
    assert "ec2:DescribeInternetGateways" in found["DetectionStatusReason"]
    assert drifted(small) == {}


def test_a_stack_that_does_not_exist_has_no_drift(stack: Stack) -> None:
    refused = refusal(stack.client.detect_stack_drift, StackName="no-such-stack")
    assert refused[:2] == ("ValidationError", "Stack [no-such-stack] does not exist")
