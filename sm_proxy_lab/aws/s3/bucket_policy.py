"""Bucket policies: what they deny. Moto applies them without their conditions.

A bucket and its callers belong to one account, so a policy's Allow adds nothing.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws import denial, resources
from sm_proxy_lab.aws.iam import policies

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.iam.authorization import Authorization


def check(call: Call, bucket: Any, authorization: Authorization) -> None:
    """Refuse a request that the policy of its bucket denies.

    Args:
        call: the request.
        bucket: moto's bucket; None if there is none.
        authorization: knows what the request's context says about the caller.

    Raises:
        AwsError: AccessDenied.
    """
    if bucket is None or not bucket.policy or call.identity is None:
        return
    _leave_it_to_us()
    # The lab's endpoint has no TLS, and stands for one that has.
    context = authorization.about(call, call.identity) | {"aws:securetransport": ("true",)}
    names = authorization.names(call)
    document = policies.parsed(bucket.policy.decode())
    about_caller = [
        statement
        for statement in policies.statements(document)
        if policies.is_about(statement.get("Principal", {}), "AWS", names)
    ]
    mine = {"bucket": {**document, "Statement": about_caller}}
    outcome = policies.decide(mine, call.action, resources.of(call), context).outcome
    if outcome == policies.EXPLICIT_DENY:
        raise denial.refusal(call, "resource-based policy: Deny")


@cache
def _leave_it_to_us() -> None:
    """Keep moto from applying the policies itself."""
    from moto.iam.access_control import PermissionResult  # noqa: PLC0415 - few buckets have a policy
    from moto.s3.models import FakeBucket  # noqa: PLC0415

    def neutral(_bucket: FakeBucket, _action: str, _resource: str) -> PermissionResult:
        return PermissionResult.NEUTRAL

    FakeBucket.get_permission = neutral  # type: ignore[method-assign, assignment]
