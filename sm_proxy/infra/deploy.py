"""Make a stack, or bring it up to date: what its status allows, and the calls for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import stack as stacks
from sm_proxy.infra import template
from sm_proxy.infra.changes import Deployed
from sm_proxy.infra.plan import Plan
from sm_proxy.infra.stack import Stack

Step: TypeAlias = Literal["create", "attach", "replace", "compare"]
_ATTACH: Final = (
    *("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS", "UPDATE_IN_PROGRESS"),
    *("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"),
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    *("IMPORT_IN_PROGRESS", "IMPORT_ROLLBACK_IN_PROGRESS"),
)
_COMPARE: Final = (
    *("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED"),
    *("IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"),
)
_REPLACE: Final = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
_STEPS: Final[dict[str, Step]] = {
    **dict.fromkeys(_ATTACH, "attach"),
    **dict.fromkeys(_COMPARE, "compare"),
    **dict.fromkeys(_REPLACE, "replace"),
    "DELETE_COMPLETE": "create",
}
_DEAD_ENDS: Final = {
    "DELETE_FAILED": "Its deletion has failed: run `sm-proxy infra delete` again, which says why.",
    "UPDATE_ROLLBACK_FAILED": "Correct what the events name, then:"
    " aws cloudformation continue-update-rollback --stack-name {name}",
    "REVIEW_IN_PROGRESS": "It has a change set that was never executed. Delete it:"
    " aws cloudformation delete-stack --stack-name {name}",
    "IMPORT_ROLLBACK_FAILED": "Correct that in CloudFormation's console.",
}
_LABELS: Final = {
    "AWS::EC2::VPC": "VPC",
    "AWS::EC2::Subnet": "subnet",
    "AWS::EC2::InternetGateway": "internet gateway",
    "AWS::EC2::NatGateway": "NAT gateway",
    "AWS::EC2::EIP": "Elastic IP address",
    "AWS::EC2::VPCEndpoint": "VPC endpoint",
    "AWS::EC2::RouteTable": "route table",
    "AWS::EC2::SecurityGroup": "security group",
    "AWS::AutoScaling::AutoScalingGroup": "bastion in a group of one",
    "AWS::IAM::Role": "IAM role",
    "AWS::IAM::ManagedPolicy": "IAM policy",
    "AWS::S3::Bucket": "S3 bucket",
    "AWS::CodeBuild::Project": "CodeBuild project",
    "AWS::Logs::LogGroup": "log group",
}
"""The resources that the summary names; the others belong to these."""
_ADDRESSES: Final = 5
"""Elastic IP addresses of a region (Amazon VPC User Guide, quotas)."""
_PLURALS: Final = {
    "Elastic IP address": "Elastic IP addresses",
    "IAM policy": "IAM policies",
}


@dataclass(frozen=True)
class Request:
    """What CreateStack or UpdateStack is asked for.

    Attributes:
        plan: what the user wants.
        template: the template for it.
        parameters: values of the template's parameters.
    """

    plan: Plan
    template: Mapping[str, Any]
    parameters: Mapping[str, str]

    @property
    def deployed(self) -> Deployed:
        """For the comparison with what is there."""
        return Deployed(self.template, self.parameters)

    @property
    def over_quota(self) -> str:
        """A line if it takes more Elastic IP addresses than a new account may have; else empty."""
        if (count := self._types["AWS::EC2::EIP"]) <= _ADDRESSES:
            return ""
        return (
            f"a region has a quota of {_ADDRESSES} Elastic IP addresses unless yours was raised,"
            f" and this takes {count}: see Service Quotas, or use `--nat one`"
        )

    @property
    def _types(self) -> Counter[str]:
        return Counter(item["Type"] for item in self.template["Resources"].values())

    @property
    def summary(self) -> str:
        """What it makes, for people: `1 VPC, 6 subnets, ...`."""
        types = self._types
        parts = []
        for kind, label in _LABELS.items():
            if count := types.pop(kind, 0):
                parts.append(f"{count} {label if count == 1 else _PLURALS.get(label, label + 's')}")
        return ", ".join(parts)


def step_of(stack: Stack | None) -> Step:
    """The first step of `deploy` for a stack of this status.

    Raises:
        SmProxyError: `stack-failed`, the user must act first.
    """
    if stack is None:
        return "create"
    if step := _STEPS.get(stack.status):
        return step
    reason = f": {stack.reason}" if stack.reason else ""
    hint = _DEAD_ENDS.get(stack.status, "Look at it in CloudFormation's console.")
    raise SmProxyError(
        "stack-failed",
        f"the stack {stack.name} is {stack.status}{reason}",
        hint.format(name=stack.name),
    )


def recorded(deployed: Mapping[str, Any], region: str, stack: str) -> Plan | None:
    """The plan that a template was made from; None if the template does not have it.

    Args:
        deployed: the template as the stack has it: it may have been edited.
        region: where the stack is.
        stack: its name.

    Raises:
        SmProxyError: `usage`, its plan is invalid. An update must not fall back to the
            defaults: they would replace the network.
    """
    found = (deployed.get("Metadata") or {}).get(template.METADATA)
    if found is None:
        return None
    members = found if isinstance(found, Mapping) else {}
    return Plan.of_data({**members, "region": region, "stack": stack})


def recorded_if_clear(deployed: Mapping[str, Any], region: str, stack: str) -> Plan | None:
    """As `recorded`, to show it only; None also for an invalid plan."""
    try:
        return recorded(deployed, region, stack)
    except SmProxyError:
        return None


def request(plan: Plan, *, paused: bool = False) -> Request:
    """The request for a plan.

    Args:
        plan: what the user wants.
        paused: whether the bastion is paused now, and stays so.
    """
    made = template.render(plan)
    values = {
        "Prefix": plan.prefix,
        "BastionType": plan.bastion_type,
        "BastionCount": "0" if paused else "1",
    }
    return Request(plan, made, {key: values[key] for key in made["Parameters"] if key in values})


def create(aws: Aws, wanted: Request) -> Stack:
    """Start the creation of the stack.

    Raises:
        SmProxyError: `busy`, another run has just started it; as `Aws.call`; `aws-error`.
    """
    name = wanted.plan.stack
    try:
        answer = aws.call("cloudformation", "CreateStack", **_parameters(wanted))
    except ServiceError as error:
        if error.error == "AlreadyExistsException":
            raise SmProxyError(
                "busy",
                f"another run has just begun to create the stack {name}",
                "Run the same command again: it shows what happens.",
            ) from None
        raise error.as_failure() from None
    return Stack(name, str(answer["StackId"]), "CREATE_IN_PROGRESS")


def update(aws: Aws, wanted: Request) -> bool:
    """Start an update of the stack; False if CloudFormation finds nothing to change.

    Raises:
        SmProxyError: as `Aws.call` and `stack.refused`.
    """
    try:
        aws.call("cloudformation", "UpdateStack", **_parameters(wanted))
    except ServiceError as error:
        if stacks.UNCHANGED in error.message:
            return False
        raise stacks.refused(error, wanted.plan.stack) from None
    return True


def _parameters(wanted: Request) -> dict[str, Any]:
    return {
        "StackName": wanted.plan.stack,
        "TemplateBody": template.as_json(dict(wanted.template)),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in wanted.parameters.items()
        ],
        "Capabilities": list(stacks.CAPABILITIES),
        "Tags": [{"Key": stacks.TAG, "Value": wanted.plan.stack}],
        "ClientRequestToken": stacks.token(),
    }
