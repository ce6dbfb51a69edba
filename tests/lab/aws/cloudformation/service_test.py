"""Stacks: what is refused, their states, their events, failures and what comes after them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.lab.aws.cloudformation.helpers import LOGS, Stack, account, log_group
from tests.lab.aws.harness import Lab, refusal
from tests.waits import await_true


@pytest.fixture
def stack(lab: Lab) -> Stack:
    return Stack(lab)


def chain(*names: str, **more: Any) -> dict[str, Any]:
    """A template of log groups, each of which needs the one before it."""
    mark = uuid.uuid4().hex[:8]
    resources: dict[str, Any] = {}
    for number, name in enumerate(names):
        needs = {"DependsOn": names[number - 1]} if number else {}
        resources[name] = log_group(f"/{mark}/{name}", **needs)
    return {"Resources": resources, **more}


def groups(lab: Lab, template: dict[str, Any]) -> list[str]:
    """Which of the log groups of a template there are."""
    logs = lab.client("logs")
    wanted = [item["Properties"]["LogGroupName"] for item in template["Resources"].values()]
    there = {
        group["logGroupName"]
        for name in wanted
        for group in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    }
    return [name.rpartition("/")[2] for name in wanted if name in there]


def test_events_tell_what_happens_in_order(lab: Lab, stack: Stack) -> None:
    made = stack.create(chain("A", "B"), ClientRequestToken="token-1")
    assert stack.ended()["StackStatus"] == "CREATE_COMPLETE"
    seen = [(item["LogicalResourceId"], item["ResourceStatus"]) for item in stack.events()]
    assert seen == [
        (stack.name, "CREATE_IN_PROGRESS"),
        *(("A", status) for status in ("CREATE_IN_PROGRESS",) * 2 + ("CREATE_COMPLETE",)),
        *(("B", status) for status in ("CREATE_IN_PROGRESS",) * 2 + ("CREATE_COMPLETE",)),
        (stack.name, "CREATE_COMPLETE"),
    ]
    events = stack.events()
    assert events[0]["ResourceStatusReason"] == "User Initiated"
    assert events[2]["ResourceStatusReason"] == "Resource creation Initiated"
    assert "PhysicalResourceId" not in events[1] or not events[1]["PhysicalResourceId"]
    assert events[2]["PhysicalResourceId"] == stack.physical("A")
    assert {item["ClientRequestToken"] for item in events} == {"token-1"}
    assert len({item["EventId"] for item in events}) == len(events)
    assert stack.delete(made)["StackStatus"] == "DELETE_COMPLETE"
    assert stack.told("A", made)[-2:] == ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"]
    order = [
        item["LogicalResourceId"]
        for item in stack.events(made)
        if item["ResourceStatus"] == "DELETE_COMPLETE"
    ]
    assert order == ["B", "A", stack.name]


def test_events_come_in_pages_from_the_newest(lab: Lab, stack: Stack) -> None:
    template = {"Resources": {f"G{n}": log_group(f"/{stack.name}/{n}") for n in range(40)}}
    stack.create(template)
    stack.ended()
    first = stack.client.describe_stack_events(StackName=stack.name)
    assert len(first["StackEvents"]) == 100
    assert first["StackEvents"][0]["LogicalResourceId"] == stack.name
    assert len(stack.events()) == 2 + 3 * 40
    stack.delete()


def test_independent_resources_go_side_by_side(lab: Lab, stack: Stack) -> None:
    lab.control.faults(stack_delay_ms=60_000)
    stack.create({"Resources": {name: log_group(f"/{stack.name}/{name}") for name in "ABC"}})
    await_true(lambda: all(len(stack.told(name)) == 2 for name in "ABC"), 50)
    lab.control.faults(stack_delay_ms=0)
    stack.ended()
    seen = [item["ResourceStatus"] for item in stack.events() if item["ResourceType"] == LOGS]
    assert seen == ["CREATE_IN_PROGRESS"] * 6 + ["CREATE_COMPLETE"] * 3
    lab.control.clear_faults()
    stack.delete()


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({"StackName": "1x"}, "ValidationError", "at 'stackName' failed to satisfy constraint"),
        ({"TemplateBody": "{" + " " * 51_200}, "ValidationError", "less than or equal to 51200"),
        ({"TemplateBody": "{}"}, "ValidationError", "At least one Resources member"),
        ({"OnFailure": "X"}, "ValidationError", "ROLLBACK, DELETE, DO_NOTHING"),
        ({"OnFailure": "DELETE", "DisableRollback": True}, "ValidationError", "but not both"),
        ({"Capabilities": ["X"]}, "ValidationError", "CAPABILITY_IAM, CAPABILITY_NAMED_IAM"),
        ({"Tags": [{"Key": "aws:x", "Value": "1"}]}, "ValidationError", "aws: prefixed"),
    ],
)
def test_a_wrong_request_is_refused(
    stack: Stack, request_: dict[str, Any], code: str, words: str
) -> None:
    body = '{"Resources": {"A": {"Type": "AWS::Logs::LogGroup"}}}'
    request = {"StackName": stack.name, "TemplateBody": body, **request_}
    refused = refusal(stack.client.create_stack, **request)
    assert refused[0] == code
    assert words in refused[1]


def test_roles_must_be_acknowledged(stack: Stack) -> None:
    body = '{"Resources": {"A": {"Type": "AWS::IAM::Role", "Properties": {}}}}'
    refused = refusal(stack.client.create_stack, StackName=stack.name, TemplateBody=body)
    assert refused == (
        "InsufficientCapabilitiesException",
        "Requires capabilities : [CAPABILITY_IAM]",
        400,
    )
    shown = stack.client.validate_template(TemplateBody=body)
    assert shown["Capabilities"] == ["CAPABILITY_IAM"]
    assert "AWS::IAM::Role" in shown["CapabilitiesReason"]


def test_a_stack_that_does_not_exist(lab: Lab, stack: Stack) -> None:
    missing = ("ValidationError", f"Stack with id {stack.name} does not exist", 400)
    assert refusal(stack.client.describe_stacks, StackName=stack.name) == missing
    assert refusal(stack.client.get_template, StackName=stack.name) == missing
    missing = ("ValidationError", f"Stack [{stack.name}] does not exist", 400)
    assert refusal(stack.client.describe_stack_events, StackName=stack.name) == missing
    changed = refusal(stack.client.update_stack, StackName=stack.name, UsePreviousTemplate=True)
    assert changed == missing
    stack.client.delete_stack(StackName=stack.name)  # as the service: nothing to do


def test_a_name_is_taken_until_its_stack_is_deleted(stack: Stack) -> None:
    template = chain("A")
    first = stack.create(template)
    assert refusal(stack.create, template=template) == (
        "AlreadyExistsException",
        f"Stack [{stack.name}] already exists",
        400,
    )
    stack.ended()
    stack.delete()
    assert refusal(stack.describe)[0] == "ValidationError"
    assert stack.describe(first)["StackStatus"] == "DELETE_COMPLETE"
    assert stack.create(template) != first
    stack.ended()
    summaries = stack.client.list_stacks()["StackSummaries"]
    own = [item["StackStatus"] for item in summaries if item["StackName"] == stack.name]
    assert own == ["CREATE_COMPLETE", "DELETE_COMPLETE"]
    stack.delete()


def test_outputs_parameters_and_tags_are_shown(stack: Stack) -> None:
    output = {"Fn::Sub": "${AWS::StackName}/${Size}/${A.Arn}/${AWS::URLSuffix}"}
    template = chain(
        "A",
        Parameters={"Size": {"Type": "String", "Default": "1"}},
        Outputs={"Where": {"Value": output, "Description": "what it is"}},
        Description="a test",
    )
    stack.create(
        template,
        Parameters=[{"ParameterKey": "Size", "ParameterValue": "2"}],
        Tags=[{"Key": "sm-proxy:stack", "Value": stack.name}],
    )
    found = stack.ended()
    assert found["Description"] == "a test"
    assert found["Parameters"] == [{"ParameterKey": "Size", "ParameterValue": "2"}]
    assert found["Tags"] == [{"Key": "sm-proxy:stack", "Value": stack.name}]
    assert found["Capabilities"] == ["CAPABILITY_IAM"]
    group = template["Resources"]["A"]["Properties"]["LogGroupName"]
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{group}:*"
    assert stack.outputs() == {"Where": f"{stack.name}/2/{arn}/amazonaws.com"}
    body = stack.client.get_template(StackName=stack.name)["TemplateBody"]
    assert body == template
    by_id = stack.client.describe_stack_resources(PhysicalResourceId=group)["StackResources"]
    assert [item["LogicalResourceId"] for item in by_id] == ["A"]
    stack.delete()


def test_a_failure_takes_everything_back(lab: Lab, stack: Stack) -> None:
    template = chain("A", "B", "C")
    lab.control.faults(stack={"B": "The lab says no."})
    stack.create(template)
    found = stack.ended()
    assert found["StackStatus"] == "ROLLBACK_COMPLETE"
    (reason,) = stack.reasons()
    assert reason.startswith('B: Resource handler returned message: "The lab says no."')
    begun = next(e for e in stack.events() if e["ResourceStatus"] == "ROLLBACK_IN_PROGRESS")
    assert begun["ResourceStatusReason"] == (
        "The following resource(s) failed to create: [B]. Rollback requested by user."
    )
    assert stack.told("A")[-1] == "DELETE_COMPLETE"
    assert stack.told("C") == []
    assert groups(lab, template) == []
    refused = refusal(stack.client.update_stack, StackName=stack.name, UsePreviousTemplate=True)
    assert "is in ROLLBACK_COMPLETE state and can not be updated." in refused[1]
    stack.delete()


def test_operations_in_flight_are_cancelled_after_a_failure(lab: Lab, stack: Stack) -> None:
    names = {name: log_group(f"/{stack.name}/{name}") for name in "AB"}
    lab.control.faults(stack={"A": "no"}, stack_delay_ms=20_000)
    stack.create({"Resources": {"B": names["B"], "A": names["A"]}})
    await_true(lambda: all("CREATE_FAILED" in stack.told(name) for name in "AB"), 60)
    lab.control.faults(stack_delay_ms=0)
    assert stack.ended()["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "B: Resource creation cancelled" in stack.reasons()
    stack.delete()


@pytest.mark.parametrize(
    ("request_", "status", "left"),
    [
        ({"OnFailure": "DO_NOTHING"}, "CREATE_FAILED", ["A"]),
        ({"DisableRollback": True}, "CREATE_FAILED", ["A"]),
        ({"OnFailure": "DELETE"}, "DELETE_COMPLETE", []),
    ],
)
def test_the_action_after_a_failure_can_be_chosen(
    lab: Lab, stack: Stack, request_: dict[str, Any], status: str, left: list[str]
) -> None:
    template = chain("A", "B")
    lab.control.faults(stack={"B": "no"})
    made = stack.create(template, **request_)
    assert stack.ended(made)["StackStatus"] == status
    assert groups(lab, template) == left
    if left:
        stack.delete()
    assert groups(lab, template) == []


def test_a_service_that_refuses_is_quoted(lab: Lab, stack: Stack) -> None:
    template = chain("A")
    taken = template["Resources"]["A"]["Properties"]["LogGroupName"]
    lab.client("logs").create_log_group(logGroupName=taken)
    stack.create(template)
    assert stack.ended()["StackStatus"] == "ROLLBACK_COMPLETE"
    (reason,) = stack.reasons()
    assert "The specified log group already exists (Service: Logs, Status Code: 400" in reason
    assert "HandlerErrorCode: AlreadyExists" in reason
    assert groups(lab, template) == ["A"]  # it is not the stack's


def test_the_permissions_of_the_caller_count(lab: Lab, stack: Stack) -> None:
    lab.control.faults(deny=["logs:CreateLogGroup"])
    stack.create(chain("A"))
    assert stack.ended()["StackStatus"] == "ROLLBACK_COMPLETE"
    (reason,) = stack.reasons()
    assert "is not authorized to perform: logs:CreateLogGroup" in reason
    assert "HandlerErrorCode: AccessDenied" in reason
    calls = [call for call in lab.calls() if call["operation"] == "CreateLogGroup"]
    assert (calls[-1]["via"], calls[-1]["error"]) == ("cloudformation", "AccessDeniedException")


def test_a_deletion_that_fails_can_go_on(lab: Lab, stack: Stack) -> None:
    template = chain("A", "B", "C")
    made = stack.create(template)
    stack.ended()
    lab.control.faults(stack={"delete:B": "in use"})
    found = stack.delete(made)
    assert found["StackStatus"] == "DELETE_FAILED"
    assert found["StackStatusReason"] == "The following resource(s) failed to delete: [B]. "
    assert groups(lab, template) == ["A", "B"]
    lab.control.clear_faults()
    assert stack.delete(made)["StackStatus"] == "DELETE_COMPLETE"
    assert stack.told("C", made).count("DELETE_COMPLETE") == 1
    assert groups(lab, template) == []


def test_resources_that_cannot_be_deleted_can_be_retained(lab: Lab, stack: Stack) -> None:
    template = chain("A", "B")
    made = stack.create(template)
    stack.ended()
    refused = refusal(stack.client.delete_stack, StackName=made, RetainResources=["B"])
    assert "only when the stack is in DELETE_FAILED state" in refused[1]
    lab.control.faults(stack={f"delete:{LOGS}": "in use"})
    stack.delete(made)
    lab.control.clear_faults()
    assert stack.delete(made, RetainResources=["B"])["StackStatus"] == "DELETE_COMPLETE"
    assert groups(lab, template) == ["B"]


def test_retained_resources_outlive_the_stack(lab: Lab, stack: Stack) -> None:
    template = chain("A", "B")
    template["Resources"]["A"]["DeletionPolicy"] = "Retain"
    made = stack.create(template)
    stack.ended()
    stack.delete(made)
    assert stack.told("A", made)[-1] == "DELETE_SKIPPED"
    assert groups(lab, template) == ["A"]


def test_a_resource_that_was_deleted_elsewhere_counts_as_deleted(lab: Lab, stack: Stack) -> None:
    template = chain("A")
    made = stack.create(template)
    stack.ended()
    group = template["Resources"]["A"]["Properties"]["LogGroupName"]
    lab.client("logs").delete_log_group(logGroupName=group)
    assert stack.delete(made)["StackStatus"] == "DELETE_COMPLETE"


def test_a_creation_under_way_can_be_deleted(lab: Lab, stack: Stack) -> None:
    template = chain("A", "B")
    lab.control.faults(stack_delay_ms=20_000)
    made = stack.create(template)
    await_true(lambda: len(stack.told("A")) == 2, 60)
    refused = refusal(stack.client.update_stack, StackName=made, UsePreviousTemplate=True)
    assert "is in CREATE_IN_PROGRESS state and can not be updated." in refused[1]
    stack.client.delete_stack(StackName=made)
    await_true(lambda: "CREATE_FAILED" in stack.told("A", made), 60)
    lab.control.faults(stack_delay_ms=0)
    assert stack.ended(made)["StackStatus"] == "DELETE_COMPLETE"
    assert groups(lab, template) == []
    assert stack.told("B", made) == []


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"GroupDescription": "x", "Colour": 1}, "#: extraneous key [Colour] is not permitted"),
        ({}, "#: required key [GroupDescription] not found"),
    ],
)
def test_properties_must_be_those_of_the_type(
    stack: Stack, properties: dict[str, Any], words: str
) -> None:
    stack.create(
        {"Resources": {"A": {"Type": "AWS::EC2::SecurityGroup", "Properties": properties}}}
    )
    assert stack.ended()["StackStatus"] == "ROLLBACK_COMPLETE"
    head = "A: Properties validation failed for resource A with message:\n"
    assert stack.reasons() == [head + words]


@pytest.mark.parametrize("denied", ["iam:PutRolePolicy", "ec2:DescribeVpcs"])
def test_a_partly_created_resource_is_deleted_too(lab: Lab, stack: Stack, denied: str) -> None:
    allow = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": "ec2.amazonaws.com"},
    }
    inner = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    role = {
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [allow]},
        "Policies": [
            {"PolicyName": "x", "PolicyDocument": {"Version": "2012-10-17", "Statement": [inner]}}
        ],
    }
    resources = {
        "Role": {"Type": "AWS::IAM::Role", "Properties": role},
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
    }
    before = account(lab, stack.region)
    lab.control.faults(deny=[denied])
    made = stack.create({"Resources": resources}, OnFailure="DELETE")
    assert stack.ended(made)["StackStatus"] == "DELETE_COMPLETE"
    lab.control.clear_faults()
    assert account(lab, stack.region) == before
