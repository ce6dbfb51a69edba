"""What CloudFormation has done with a stack, in order: its events, and the reason of a failure.

DescribeStackEvents gives the newest event first, in pages, and keeps those of earlier operations.
An operation begins with the event in which the stack itself goes to CREATE_, UPDATE_ or
DELETE_IN_PROGRESS; a rollback belongs to the operation that failed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sm_proxy.aws import asking, denials
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError, printable

_STACK: Final = "AWS::CloudFormation::Stack"
_BEGINS: Final = frozenset(
    {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS"}
)
_FOLLOWS: Final = ("cancelled", "The following resource(s) failed")
"""Parts of reasons that only follow from another resource's failure."""
_PAGES: Final = 50
"""Pages that are read at most; a page has 100 events."""
_DENIED: Final = re.compile(r"not authorized to|AccessDenied|UnauthorizedOperation", re.IGNORECASE)
_ACTION: Final = re.compile(r"not authorized to perform:? ([\w-]+:\w+)")
_LAUNCH: Final = "not authorized to use launch template"
_LAUNCHING: Final = (
    "ec2:RunInstances, ec2:CreateTags, ec2:DescribeLaunchTemplateVersions, ssm:GetParameters and"
    " iam:PassRole"
)
"""Actions that Auto Scaling checks for its caller; its refusal names none (Auto Scaling User
Guide)."""
_QUOTA: Final = re.compile(
    r"limit ?exceeded|maximum number of|quota|\blimit has been reached", re.IGNORECASE
)
_TAKEN: Final = re.compile(r"already exists|AlreadyOwnedByYou|name is not available", re.IGNORECASE)
_NOT_OFFERED: Final = re.compile(
    r"not supported in your requested Availability Zone|InsufficientInstanceCapacity"
    r"|(instance type|configuration) .{0,60}(not supported|invalid)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Event:
    """One event; all text is printable.

    Attributes:
        id: unique in the stack.
        at: its time.
        logical_id: the resource's name in the template, or the stack's name.
        type: the resource's type.
        status: its ResourceStatus.
        reason: the service's words; may be empty.
        of_stack: whether it is about the stack itself.
    """

    id: str
    at: datetime
    logical_id: str
    type: str
    status: str
    reason: str
    of_stack: bool

    @property
    def begins(self) -> bool:
        """Whether an operation begins with it."""
        return self.of_stack and self.status in _BEGINS

    @property
    def failed(self) -> bool:
        """Whether it is the failure of a resource."""
        return not self.of_stack and self.status.endswith("_FAILED")

    @property
    def settled(self) -> bool:
        """Whether the resource is done for now."""
        return not self.status.endswith("_IN_PROGRESS")


def newest(aws: Aws, stack_id: str) -> str:
    """The id of the stack's newest event; empty if there is none yet.

    Raises:
        SmProxyError: as `Aws.call`; `aws-error`.
    """
    return next((event.id for event in _newest_first(aws, stack_id)), "")


def of_operation(aws: Aws, stack_id: str, after: str = "") -> list[Event]:
    """The events of the operation that runs now, or ran last, the oldest first.

    Args:
        aws: for the calls.
        stack_id: the stack's ARN.
        after: only events that are newer than this one; empty for the whole operation.

    Raises:
        SmProxyError: as `Aws.call`; `aws-error`.
    """
    found: list[Event] = []
    for event in _newest_first(aws, stack_id):
        if event.id == after:
            break
        found.append(event)
        if not after and event.begins:
            break
    return found[::-1]


def first_failure(events: Iterable[Event]) -> Event | None:
    """The failure that the others follow from; None if no resource has failed."""
    failures = [event for event in events if event.failed]
    real = (e for e in failures if e.reason and not any(part in e.reason for part in _FOLLOWS))
    return next(real, next(iter(failures), None))


def failure(stack: str, status: str, events: Iterable[Event], reason: str = "") -> SmProxyError:
    """The error for a failed operation: `stack-failed`, with the first real reason.

    Args:
        stack: the stack's name.
        status: its status now.
        events: of the operation.
        reason: the stack's own, if no resource tells one.
    """
    first = first_failure(events)
    if first is None:
        why = f": {reason}" if reason else ""
        return SmProxyError("stack-failed", f"the stack {stack} is {status}{why}", _AGAIN)
    return SmProxyError(
        "stack-failed",
        f"{first.logical_id} ({first.type}) of the stack {stack} failed"
        f" ({first.status}): {first.reason or 'CloudFormation gives no reason'}",
        remedy(first),
    )


_AGAIN: Final = "Correct that and run the same command again."


def remedy(event: Event) -> str:
    """What to do about a resource's failure, judged by the service's words."""
    if _DENIED.search(event.reason):
        action = _ACTION.search(event.reason)
        missing = _LAUNCHING if _LAUNCH in event.reason else f"what {event.type} needs"
        named = action[1] if action else missing
        return (
            f"{denials.remedy(event.reason, named)} `sm-proxy infra policy admin` prints what"
            " `sm-proxy infra` needs."
        )
    if _NOT_OFFERED.search(event.reason):
        return "Name another type, as in --bastion-type t3.nano, or other zones: --zones A,B."
    if _QUOTA.search(event.reason):
        return (
            "Ask for a higher quota in Service Quotas, or remove what you no longer need;"
            " --nat one and fewer --zones need less."
        )
    if _TAKEN.search(event.reason):
        return "Remove the other one, or take another name for the stack: --stack NAME."
    return _AGAIN


def _newest_first(aws: Aws, stack_id: str) -> Iterator[Event]:
    pages = asking.pages(aws, "cloudformation", "DescribeStackEvents", StackName=stack_id)
    for page in itertools.islice(pages, _PAGES):
        yield from map(_parsed, page.get("StackEvents", []))


def _parsed(item: Mapping[str, Any]) -> Event:
    kind = printable(str(item.get("ResourceType") or ""))
    return Event(
        id=str(item["EventId"]),
        at=item["Timestamp"],
        logical_id=printable(str(item.get("LogicalResourceId") or "")),
        type=kind,
        status=printable(str(item.get("ResourceStatus") or "")),
        reason=printable(str(item.get("ResourceStatusReason") or "")),
        # A nested stack has the type of a stack too, but another ARN.
        of_stack=kind == _STACK and item.get("PhysicalResourceId") == item.get("StackId"),
    )
