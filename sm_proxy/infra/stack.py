"""The CloudFormation stack as it is now, and what its status means.

The statuses are those of `StackStatus` in the CloudFormation API Reference.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sm_proxy.aws import asking, stack_names
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.infra.template import METADATA

TAG: Final = stack_names.STACK_TAG
CAPABILITIES: Final = ("CAPABILITY_IAM",)
UNCHANGED: Final = "No updates are to be performed"
"""CloudFormation's words for an update that changes nothing; the error code is ValidationError."""
_NAME: Final = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
_SHOWN: Final = 40
_MISSING: Final = "does not exist"
_UNUSABLE: Final = frozenset(
    {"CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS"}
)
_FAILED: Final = ("_FAILED", "ROLLBACK_COMPLETE")


@dataclass(frozen=True)
class Stack:
    """A stack, from DescribeStacks.

    Attributes:
        name: its name.
        id: its ARN, which also finds a deleted one.
        status: its StackStatus.
        reason: the service's words about the status; may be empty.
        outputs: value by name; empty before the first success.
        parameters: value by name.
        tags: value by key.
        created: its CreationTime.
    """

    name: str
    id: str
    status: str
    created: datetime | None = None
    reason: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Whether CloudFormation works on it; an unexecuted change set is no work."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def failed(self) -> bool:
        """Whether its last operation failed."""
        return self.status.endswith(_FAILED)

    @property
    def usable(self) -> bool:
        """Whether its resources are whole: also after an update that was rolled back."""
        return self.status.endswith("_COMPLETE") and self.status not in {
            *_UNUSABLE,
            "DELETE_COMPLETE",
        }

    @property
    def paused(self) -> bool:
        """Whether the desired size of the bastion's group is 0."""
        return self.parameters.get("BastionCount") == "0"

    def output(self, name: str) -> str:
        """One of its outputs.

        Raises:
            SmProxyError: `stack-failed`, it has none of that name.
        """
        if found := self.outputs.get(name):
            return found
        raise SmProxyError(
            "stack-failed",
            f"the stack {self.name} ({self.status}) has no output {name}",
            "Run `sm-proxy infra deploy`: it says what is wrong with the stack, or updates it.",
        )


def checked_name(text: str) -> str:
    """A stack name from the user.

    Raises:
        SmProxyError: `usage`.
    """
    if _NAME.fullmatch(text) is None:
        raise SmProxyError(
            "usage",
            f"{printable(text, _SHOWN)!r} is not a stack name",
            "A name has letters, digits and hyphens, begins with a letter, and has at most 128"
            " characters.",
        )
    return text


def find(aws: Aws, name: str) -> Stack | None:
    """The stack of that name or ARN; None if there is none. Only an ARN finds a deleted one.

    Raises:
        SmProxyError: as `Aws.call`; `aws-error`.
    """
    try:
        answer = aws.call("cloudformation", "DescribeStacks", StackName=name)
    except ServiceError as error:
        if _MISSING in error.message:
            return None
        raise error.as_failure() from None
    found = answer.get("Stacks") or []
    return _parsed(found[0]) if found else None


def existing(aws: Aws, name: str) -> Stack:
    """The stack of that name.

    Raises:
        SmProxyError: `no-stack`; as `find`.
    """
    found = find(aws, name)
    if found is None:
        raise missing(name, aws.region)
    return found


def missing(name: str, region: str) -> SmProxyError:
    """The error for a stack that does not exist."""
    return SmProxyError(
        "no-stack",
        f"there is no stack {name} in {region}",
        "Make one with `sm-proxy infra deploy`, or name another: --stack NAME, --region REGION.",
    )


def template(aws: Aws, name: str) -> dict[str, Any]:
    """The template that the stack was last given; empty if it is not JSON, and so not ours.

    Raises:
        SmProxyError: as `Aws.call`; `aws-error`.
    """
    answer = asking.ask(
        aws, "cloudformation", "GetTemplate", StackName=name, TemplateStage="Original"
    )
    body = answer.get("TemplateBody")
    if isinstance(body, str):  # botocore parses JSON, and leaves YAML as it is
        try:
            body = json.loads(body)
        except ValueError:
            return {}
    # botocore gives ordered mappings, which compare by order with each other.
    return dict(json.loads(json.dumps(body))) if isinstance(body, Mapping) else {}


def refuse_foreign(stack: Stack, deployed: Callable[[], Mapping[str, Any]]) -> None:
    """Refuse a stack that sm-proxy did not make.

    Args:
        stack: of that name.
        deployed: gives its template: one that a user has deployed by hand lacks our tag.

    Raises:
        SmProxyError: `in-use`.
    """
    if TAG in stack.tags or METADATA in (deployed().get("Metadata") or {}):
        return
    raise SmProxyError(
        "in-use",
        f"sm-proxy has not made the stack {stack.name}: it lacks the tag {TAG}",
        "Choose another name for ours: --stack NAME.",
    )


def resources(aws: Aws, name: str) -> dict[str, tuple[str, str, str]]:
    """Type, physical id and status of each resource that exists, by logical id.

    Raises:
        SmProxyError: as `Aws.call`; `aws-error`.
    """
    answer = asking.ask(aws, "cloudformation", "DescribeStackResources", StackName=name)
    return {
        item["LogicalResourceId"]: (
            str(item["ResourceType"]),
            str(item["PhysicalResourceId"]),
            str(item["ResourceStatus"]),
        )
        for item in answer.get("StackResources", [])
        if item.get("PhysicalResourceId")
        and item.get("LogicalResourceId")
        and item.get("ResourceStatus") != "DELETE_COMPLETE"
    }


def delete(aws: Aws, stack: Stack) -> None:
    """Start the deletion of this stack, not of a later stack with its name.

    Raises:
        SmProxyError: as `Aws.call` and `refused`.
    """
    try:
        aws.call("cloudformation", "DeleteStack", StackName=stack.id, ClientRequestToken=token())
    except ServiceError as error:
        raise refused(error, stack.name) from None


def refused(error: ServiceError, name: str) -> SmProxyError:
    """The error for an operation on a stack that CloudFormation did not begin: `busy`, `aws-error`.

    Args:
        error: CloudFormation's answer; for a busy stack, it names the status.
        name: the stack's name.
    """
    if "_IN_PROGRESS" not in error.message:
        return error.as_failure()
    return SmProxyError(
        "busy",
        f"another run has just begun to change the stack {name}",
        "Run the same command again: it waits for that first.",
    )


def token() -> str:
    """A ClientRequestToken: with it a call that botocore repeats has no second effect."""
    return f"sm-proxy-{uuid.uuid4()}"


def _parsed(item: Mapping[str, Any]) -> Stack:
    return Stack(
        name=str(item["StackName"]),
        id=str(item["StackId"]),
        status=str(item["StackStatus"]),
        created=item.get("CreationTime"),
        reason=printable(str(item.get("StackStatusReason") or "")),
        outputs=_pairs(item.get("Outputs"), "OutputKey", "OutputValue"),
        parameters=_pairs(item.get("Parameters"), "ParameterKey", "ParameterValue"),
        tags=_pairs(item.get("Tags"), "Key", "Value"),
    )


def _pairs(items: Any, key: str, value: str) -> dict[str, str]:
    """Printable: the maker of a stack of our name may have written them."""
    return {printable(str(item[key])): printable(str(item.get(value, ""))) for item in items or []}
