"""Pause and resume the bastion, by the stack's parameter BastionCount: 0 or 1.

An update of the stack does it, not of the group, so the stack does not drift.
"""

from __future__ import annotations

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import stack as stacks
from sm_proxy.infra.stack import Stack

_COUNT = "BastionCount"


def refuse_unless_settled(stack: Stack) -> None:
    """Only a whole stack can be updated.

    Raises:
        SmProxyError: `busy`, CloudFormation works on it; `stack-failed`.
    """
    if stack.busy:
        raise SmProxyError(
            "busy",
            f"CloudFormation still works on the stack {stack.name}: it is {stack.status}",
            "Watch it with `sm-proxy infra deploy`, then try again.",
        )
    if not stack.usable:
        raise SmProxyError(
            "stack-failed",
            f"the stack {stack.name} is {stack.status}",
            "Run `sm-proxy infra deploy`: it says what to do.",
        )


def set_count(aws: Aws, stack: Stack, count: int) -> bool:
    """Set the size of the bastion's group; False if it has that size already.

    Raises:
        SmProxyError: as `Aws.call` and `stack.refused`.
    """
    if stack.parameters.get(_COUNT) == str(count):
        return False
    others = [
        {"ParameterKey": key, "UsePreviousValue": True} for key in stack.parameters if key != _COUNT
    ]
    try:
        aws.call(
            "cloudformation",
            "UpdateStack",
            StackName=stack.name,
            UsePreviousTemplate=True,
            Parameters=[*others, {"ParameterKey": _COUNT, "ParameterValue": str(count)}],
            Capabilities=list(stacks.CAPABILITIES),
            ClientRequestToken=stacks.token(),
        )
    except ServiceError as error:
        if stacks.UNCHANGED in error.message:
            return False
        raise stacks.refused(error, stack.name) from None
    return True
