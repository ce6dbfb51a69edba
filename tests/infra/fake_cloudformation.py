"""A CloudFormation with one stack, in which each look at the stack lets one event happen."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from sm_proxy.aws.errors import ServiceError
from tests.fakes import Answers, FakeAws

ACCOUNT = "111122223333"
ARN = f"arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/sm-proxy"
OUTPUTS = {
    "VpcId": "vpc-1",
    "Subnets": "subnet-1,subnet-2",
    "JobGroup": "sg-job",
    "BastionGroup": "sg-bastion",
    "Bastion": "bastions",
    "JobRole": f"arn:aws:iam::{ACCOUNT}:role/job",
    "BuildProject": "sm-proxy-image",
    "Bucket": f"sm-proxy-{ACCOUNT}-eu-west-1",
    "UserPolicy": f"arn:aws:iam::{ACCOUNT}:policy/user",
    "LauncherPolicy": f"arn:aws:iam::{ACCOUNT}:policy/launcher",
}
PAGE = 3
Row = tuple[str, str, str]
"""Logical id (empty for the stack), status and reason of an event."""


def refused(message: str, operation: str, error: str = "ValidationError") -> ServiceError:
    return ServiceError(error, message, f"cloudformation:{operation}")


class Lines:
    """What a watch says."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self.dim: list[str] = []

    def __call__(self, message: str, /, *, dim: bool = False) -> None:
        (self.dim if dim else self.all).append(message)


class FakeCloudFormation:
    """Attributes:
    faults: reasons by logical id whose creation fails; by `delete:<id>` whose deletion fails.
    events: those that have happened, the oldest first.
    pending: those that will happen.
    held: whether nothing more happens.
    """

    def __init__(self) -> None:
        self.name = ""
        self.id = ""
        self.status = ""
        self.template: dict[str, Any] = {}
        self.parameters: dict[str, str] = {}
        self.tags: list[dict[str, str]] = []
        self.complete = False
        self.faults: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self.pending: deque[Row] = deque()
        self.held = False
        self._generation = 0
        self.on_event: Callable[[str, str], None] = lambda *_: None

    @property
    def answers(self) -> dict[str, Answers]:
        return {
            "CreateStack": self.create,
            "UpdateStack": self.update,
            "DeleteStack": self.delete,
            "DescribeStacks": self.describe,
            "DescribeStackEvents": self.describe_events,
            "DescribeStackResources": self.describe_resources,
            "GetTemplate": lambda **_: {"TemplateBody": self.template},
        }

    def aws(self, **others: Answers) -> FakeAws:
        return FakeAws(**{**self.answers, **others})

    def create(self, **given: Any) -> dict[str, Any]:
        if self.status not in {"", "DELETE_COMPLETE"}:
            raise refused("it already exists", "CreateStack", "AlreadyExistsException")
        self._generation += 1
        self.name, self.id = given["StackName"], f"{ARN}/{self._generation}"
        self._take(given)
        self.complete, self.events = False, []
        self._happens("", "CREATE_IN_PROGRESS", "User Initiated")
        self.pending.extend(self._creation())
        return {"StackId": self.id}

    def update(self, **given: Any) -> dict[str, Any]:
        assert self.status.endswith("_COMPLETE"), self.status
        before = self._content()
        self._take(given)
        if self._content() == before:
            raise refused("No updates are to be performed.", "UpdateStack")
        self._happens("", "UPDATE_IN_PROGRESS", "User Initiated")
        self.pending.append(("Bastion", "UPDATE_IN_PROGRESS", ""))
        if reason := self.faults.get("update"):
            self.pending.append(("Bastion", "UPDATE_FAILED", reason))
            self.pending.append(("", "UPDATE_ROLLBACK_IN_PROGRESS", ""))
            self.pending.append(("", "UPDATE_ROLLBACK_COMPLETE", ""))
        else:
            self.pending.append(("Bastion", "UPDATE_COMPLETE", ""))
            self.pending.append(("", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", ""))
            self.pending.append(("", "UPDATE_COMPLETE", ""))
        return {"StackId": self.id}

    def delete(self, **given: Any) -> dict[str, Any]:
        assert given["StackName"] in {self.name, self.id}
        self.pending.clear()
        self._happens("", "DELETE_IN_PROGRESS", "User Initiated")
        self.pending.extend(self._deletion("DELETE_COMPLETE", "DELETE_FAILED"))
        return {}

    def describe(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - the API's name
        self._advance()
        if not self.status or (StackName == self.name and self.status == "DELETE_COMPLETE"):
            self._forget()
            raise refused(f"Stack with id {StackName} does not exist", "DescribeStacks")
        found = {
            "StackName": self.name,
            "StackId": self.id,
            "StackStatus": self.status,
            "CreationTime": datetime.now(timezone.utc),
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in self.parameters.items()
            ],
            "Tags": self.tags,
        }
        if self.complete:
            found["Outputs"] = [
                {"OutputKey": key, "OutputValue": value} for key, value in OUTPUTS.items()
            ]
        return {"Stacks": [found]}

    def describe_events(self, StackName: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        assert StackName in {self.name, self.id}
        begin = int(NextToken)
        page = self.events[::-1][begin : begin + PAGE]
        more = {"NextToken": str(begin + PAGE)} if begin + PAGE < len(self.events) else {}
        return {"StackEvents": page, **more}

    def describe_resources(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        assert StackName in {self.name, self.id}
        return {
            "StackResources": [
                {
                    "LogicalResourceId": name,
                    "PhysicalResourceId": physical_id(name),
                    "ResourceType": item["Type"],
                    "ResourceStatus": "CREATE_COMPLETE",
                }
                for name, item in self.template["Resources"].items()
            ]
        }

    def run(self) -> None:
        """Let everything happen that is pending."""
        while self.pending:
            self._advance()

    def _take(self, given: dict[str, Any]) -> None:
        if not given.get("UsePreviousTemplate"):
            self.template = json.loads(given["TemplateBody"])
        self.tags = given.get("Tags", self.tags)
        assert given["Capabilities"] == ["CAPABILITY_IAM"]
        self.parameters = {
            item["ParameterKey"]: self.parameters[item["ParameterKey"]]
            if item.get("UsePreviousValue")
            else item["ParameterValue"]
            for item in given["Parameters"]
        }

    def _content(self) -> tuple[Any, ...]:
        return self.template.get("Resources"), self.template.get("Outputs"), self.parameters

    def _creation(self) -> Iterable[Row]:
        names = list(self.template["Resources"])
        for number, name in enumerate(names):
            yield name, "CREATE_IN_PROGRESS", ""
            if name in self.faults:
                yield name, "CREATE_FAILED", self.faults[name]
                if number:
                    yield names[number - 1], "CREATE_FAILED", "Resource creation cancelled"
                yield (
                    "",
                    "ROLLBACK_IN_PROGRESS",
                    f"The following resource(s) failed to create: [{name}]",
                )
                yield from self._deletion("ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
                return
            yield name, "CREATE_IN_PROGRESS", "Resource creation Initiated"
            yield name, "CREATE_COMPLETE", ""
        yield "", "CREATE_COMPLETE", ""

    def _deletion(self, done: str, failed: str) -> Iterable[Row]:
        for name in reversed(self.template["Resources"]):
            yield name, "DELETE_IN_PROGRESS", ""
            if reason := self.faults.get(f"delete:{name}"):
                yield name, "DELETE_FAILED", reason
                yield "", failed, f"The following resource(s) failed to delete: [{name}]"
                return
            yield name, "DELETE_COMPLETE", ""
        yield "", done, ""

    def _advance(self) -> None:
        if self.pending and not self.held:
            self._happens(*self.pending.popleft())

    def _happens(self, name: str, status: str, reason: str) -> None:
        if not name:
            self.status = status
            self.complete = self.complete or status == "CREATE_COMPLETE"
        kind = self.template["Resources"].get(name, {}).get("Type", "AWS::Some::Thing")
        start = datetime(2026, 11, 29, tzinfo=timezone.utc)
        self.events.append(
            {
                "StackId": self.id,
                "EventId": f"{self._generation}-{len(self.events)}",
                "Timestamp": start + timedelta(seconds=len(self.events)),
                "LogicalResourceId": name or self.name,
                "PhysicalResourceId": physical_id(name) if name else self.id,
                "ResourceType": kind if name else "AWS::CloudFormation::Stack",
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
            }
        )
        self.on_event(name, status)

    def _forget(self) -> None:
        self.status = ""


def physical_id(name: str) -> str:
    """The id of a resource, from its logical id."""
    known = {
        "Vpc": OUTPUTS["VpcId"],
        "PrivateSubnet1": "subnet-1",
        "PrivateSubnet2": "subnet-2",
        "JobGroup": OUTPUTS["JobGroup"],
        "BastionGroup": OUTPUTS["BastionGroup"],
        "Bastion": OUTPUTS["Bastion"],
        "Bucket": OUTPUTS["Bucket"],
    }
    return known.get(name, f"{name.lower()}-1")


TEMPLATE: dict[str, Any] = {
    "Metadata": {"sm-proxy": {}},
    "Parameters": {"Prefix": {"Type": "String"}, "BastionCount": {"Type": "String"}},
    "Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
        "PrivateSubnet1": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": {"Fn::Sub": "${Prefix}.128.0/20"}},
        },
        "PrivateSubnet2": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": {"Fn::Sub": "${Prefix}.144.0/20"}},
        },
        "JobGroup": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"VpcId": {"Ref": "Vpc"}}},
        "Bastion": {
            "Type": "AWS::AutoScaling::AutoScalingGroup",
            "Properties": {"MaxSize": {"Ref": "BastionCount"}},
        },
        "Bucket": {"Type": "AWS::S3::Bucket"},
    },
    "Outputs": {"VpcId": {"Value": {"Ref": "Vpc"}}},
}
"""A small one with the logical ids of ours."""


def with_stack(template: dict[str, Any] = TEMPLATE, **parameters: str) -> FakeCloudFormation:
    """A CloudFormation in which the stack sm-proxy is complete."""
    cloud = FakeCloudFormation()
    begin(cloud, template, **parameters)
    cloud.run()
    return cloud


def begin(
    cloud: FakeCloudFormation, template: dict[str, Any] = TEMPLATE, **parameters: str
) -> None:
    """Begin to make the stack sm-proxy."""
    values = {"Prefix": "10.0", "BastionCount": "1", **parameters}
    cloud.create(
        StackName="sm-proxy",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
        Capabilities=["CAPABILITY_IAM"],
        Tags=[{"Key": "sm-proxy:stack", "Value": "sm-proxy"}],
    )
