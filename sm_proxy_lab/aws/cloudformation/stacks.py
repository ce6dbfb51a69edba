"""The stacks of all regions: what they have, and what happened to them."""

from __future__ import annotations

import datetime as dt
import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.cloudformation import intrinsics, parameters
from sm_proxy_lab.aws.cloudformation.parameters import invalid
from sm_proxy_lab.aws.cloudformation.resource_type import Made
from sm_proxy_lab.aws.http.call import ACCOUNT

if TYPE_CHECKING:
    from sm_proxy_lab.aws.cloudformation.template import Template

STACK: Final = "AWS::CloudFormation::Stack"
_SUFFIXES: Final = {"aws-cn": "amazonaws.com.cn"}


def now() -> dt.datetime:
    """The time, for events and records."""
    return dt.datetime.now(dt.timezone.utc)


@dataclass
class Resource:
    """A resource of a stack.

    Attributes:
        name: the logical id.
        needs: logical ids of the resources that it needs.
        kept: whether its policy is to outlive the stack.
        made: None until it exists, and after its deletion.
        id: the physical id, also of a resource that is deleted.
        properties: with references replaced, as they were given to its service.
    """

    name: str
    type: str
    needs: frozenset[str] = frozenset()
    kept: bool = False
    made: Made | None = None
    id: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    status: str = ""
    reason: str | None = None
    changed: dt.datetime = field(default_factory=now)
    drift: str = "NOT_CHECKED"


@dataclass(frozen=True)
class Wanted:
    """The wanted state of a stack: a template with its values, and the stack's tags."""

    template: Template
    values: Mapping[str, str]
    tags: Mapping[str, str]
    capabilities: tuple[str, ...] = ()

    def same_as(self, other: Wanted) -> bool:
        """Whether an update from one to the other would change nothing."""
        return self._compared() == other._compared()

    def _compared(self) -> tuple[Any, ...]:
        def known(name: str, attribute: str | None) -> Any:
            if attribute is None and name in self.template.parameters:
                return parameters.as_value(self.template.parameters[name], self.values[name])
            return {"Reference": [name, attribute]}

        # A reference inside Fn::Sub or Fn::Select stays a text that names what it refers to.
        settled = [
            {name: _settled(item, known) for name, item in part.items()}
            for part in (self.template.resources, self.template.outputs)
        ]
        return (*settled, dict(self.tags), dict(self.values))


def _settled(item: Any, known: intrinsics.Lookup) -> Any:
    compared = {key: value for key, value in item.items() if key != "Metadata"}
    try:
        return intrinsics.resolve(compared, known)
    except (TypeError, ValueError, KeyError):
        return compared


class Stack:
    """One stack."""

    def __init__(self, region: str, partition: str, name: str, wanted: Wanted) -> None:
        self.region, self.partition, self.name, self.wanted = region, partition, name, wanted
        self.id = f"arn:{partition}:cloudformation:{region}:{ACCOUNT}:stack/{name}/{uuid.uuid4()}"
        self.status, self.reason = "", None
        self.created = now()
        self.updated: dt.datetime | None = None
        self.deleted: dt.datetime | None = None
        self.rollback = True
        self.outputs: list[dict[str, str]] = []
        self.resources: dict[str, Resource] = {}
        self.replaced: list[Resource] = []
        """During an update, resources in whose place there are new ones."""
        self.events: list[dict[str, Any]] = []
        self.drift: dict[str, Any] = {"StackDriftStatus": "NOT_CHECKED"}
        self.token: str | None = None
        self.running = threading.Lock()
        """Held while an operation changes the resources."""
        self.cancelled = threading.Event()
        """Set to end what is in flight."""
        self.lock = threading.RLock()

    status: str
    reason: str | None

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self.status.endswith("IN_PROGRESS")

    def report(self, status: str, reason: str | None = None) -> None:
        """Set the stack's status, and add an event."""
        with self.lock:
            self.status, self.reason = status, reason
            self._event(LogicalResourceId=self.name, PhysicalResourceId=self.id, ResourceType=STACK)

    def report_resource(self, resource: Resource, status: str, reason: str | None = None) -> None:
        """Set the status of a resource, and add an event."""
        with self.lock:
            resource.status, resource.reason, resource.changed = status, reason, now()
            self._event(
                LogicalResourceId=resource.name,
                PhysicalResourceId=resource.id,
                ResourceType=resource.type,
                ResourceStatus=status,
                ResourceStatusReason=reason,
                ResourceProperties=json.dumps(resource.properties) or None,
            )

    def _event(self, **members: Any) -> None:
        event = {
            "StackId": self.id,
            "EventId": str(uuid.uuid4()),
            "StackName": self.name,
            "Timestamp": now(),
            "ResourceStatus": self.status,
            "ResourceStatusReason": self.reason,
            "ClientRequestToken": self.token,
        }
        self.events.append(event | members)

    def lookup(self, wanted: Wanted, name: str, attribute: str | None) -> Any:
        """The value of Ref or Fn::GetAtt.

        Raises:
            AwsError: ValidationError: the resource has no such attribute.
        """
        if name.startswith("AWS::"):
            return self._pseudo(name)
        if name in wanted.template.parameters:
            return parameters.as_value(wanted.template.parameters[name], wanted.values[name])
        made = self.resources[name].made
        if made is None:
            raise invalid(f"Unable to resolve {name}: it does not exist")
        if attribute is None:
            return made.id
        if attribute not in made.attributes:
            words = f"resource {name} does not support attribute type {attribute} in Fn::GetAtt"
            raise invalid(f"Template error: {words}")
        return made.attributes[attribute]

    def _pseudo(self, name: str) -> Any:
        found = {
            "AWS::AccountId": ACCOUNT,
            "AWS::NoValue": intrinsics.NO_VALUE,
            "AWS::NotificationARNs": [],
            "AWS::Partition": self.partition,
            "AWS::Region": self.region,
            "AWS::StackId": self.id,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": _SUFFIXES.get(self.partition, "amazonaws.com"),
        }
        if name not in found:
            raise invalid(f"Template error: unknown pseudo parameter {name}")
        return found[name]


class Stacks:
    """All stacks; a deleted one is found by its id only."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._stacks: list[Stack] = []

    def add(self, stack: Stack) -> None:
        """Keep a new stack."""
        self._stacks.append(stack)

    def find(self, region: str, name: str) -> Stack | None:
        """The stack with this name or id; None if there is none."""
        for stack in self._stacks:
            alive = stack.name == name and stack.status != "DELETE_COMPLETE"
            if stack.region == region and (alive or stack.id == name):
                return stack
        return None

    def all(self, region: str) -> Iterator[Stack]:
        """The stacks of a region, the newest first."""
        return (stack for stack in reversed(self._stacks) if stack.region == region)
