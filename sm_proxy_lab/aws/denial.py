"""IAM's errors for a call that the caller is not allowed to make."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from sm_proxy_lab.aws import resources
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

IDENTITY = "identity-based policy"
_KEY = "KMS key"
"""Not a policy for the call itself: the caller may not use the key that encrypts the answer."""
_NAMES = (
    *(IDENTITY, "permissions boundary", "session policy", "service control policy"),
    *("resource control policy", "VPC endpoint policy", "resource-based policy", _KEY),
)
POLICIES = {*_NAMES, *(f"{name}: Deny" for name in _NAMES)}
"""The policies that can refuse a call: by a missing Allow, or (`: Deny`) by an explicit Deny."""


def check(call: Call, patterns: list[str], policies: dict[str, list[str]]) -> None:
    """Refuse a call whose action matches a pattern such as `ssm:*`; case does not count.

    Args:
        call: The call.
        patterns: The actions that no identity-based policy allows.
        policies: Name of another policy (see POLICIES) -> patterns of actions that it refuses.

    Raises:
        AwsError: IAM's error, in the form of the call's protocol.
    """
    # GetCallerIdentity needs no permission and cannot be denied.
    if call.operation == "GetCallerIdentity":
        return
    for policy, refused in {**policies, IDENTITY: patterns}.items():
        if any(fnmatchcase(call.action.lower(), pattern.lower()) for pattern in refused):
            raise refusal(call, policy)


def refusal(
    call: Call, policy: str = IDENTITY, where: str | None = None, action: str | None = None
) -> AwsError:
    """Return IAM's error for a call that a policy does not allow, or explicitly denies.

    Args:
        call: the call.
        policy: one of POLICIES.
        where: the ARN of the resource that the policy is about; None for the call's main one.
        action: that the policy is about; None for the call's own.
    """
    name, _, explicit = policy.partition(": ")
    action, where = action or call.action, where or resources.of(call)
    if name == _KEY:
        name, action = "resource-based policy", "kms:Decrypt"
        where = call.arn("kms", "key/11111111-2222-3333-4444-555555555555")
    article = "an" if name == IDENTITY else "a"
    why = f"because no {name} allows the {action} action"
    if explicit:
        why = f"with an explicit deny in {article} {name}"
    who = f"User: {call.caller} is not authorized to perform: {action}"
    if call.protocol == "ec2":
        on = f" on resource: {where}" if where != "*" else ""
        message = f"You are not authorized to perform this operation. {who}{on} {why}"
        return AwsError("UnauthorizedOperation", message, 403)
    if call.service == "s3":  # which writes it so
        where = f'"{where}"'
    message = f"{who} on resource: {where} {why}"
    if call.protocol in {"query", "rest-xml"}:
        return AwsError("AccessDenied", message, 403)
    return AwsError("AccessDeniedException", message, 403 if call.protocol == "rest-json" else 400)
