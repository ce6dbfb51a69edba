"""Ask IAM's policy simulator what the role of a job may do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from sm_proxy.launch.caller import Caller

_SESSION: Final = re.compile(
    r"arn:(?P<partition>[^:]+):sts::(?P<account>[0-9]+):assumed-role/(?P<role>[^/]+)/.+"
)
_PAGES: Final = 5


def principal(caller: str | None) -> str | None:
    """The ARN that the simulator knows for a caller's ARN; None if there is none.

    A session of a role is simulated as its role. STS does not tell the role's path: the simulator
    does not find a role that has one, and `denied` is then None.
    """
    session = _SESSION.fullmatch(caller or "")
    if session:
        return f"arn:{session['partition']}:iam::{session['account']}:role/{session['role']}"
    return caller if caller and ":user/" in caller else None


def denied(
    aws: Caller, role: str, actions: Sequence[str], resources: Sequence[str] = ()
) -> tuple[str, ...] | None:
    """Those of `actions` that the policies of `role` do not allow; None if that is unknown.

    The simulator knows the role's own policies, its boundary and the organization's; not those of a
    bucket, a VPC endpoint or a session. A decision that depends on a condition whose value it lacks
    counts as allowed.

    Args:
        aws: for the call; it needs iam:SimulatePrincipalPolicy.
        role: its ARN.
        actions: such as `s3:GetObject`.
        resources: their ARNs; none stands for `*`.
    """
    found: list[str] = []
    asked: dict[str, Any] = {"PolicySourceArn": role, "ActionNames": list(actions)}
    if resources:
        asked["ResourceArns"] = list(resources)
    for _ in range(_PAGES):
        answer = aws.call_if_allowed("iam", "SimulatePrincipalPolicy", **asked)
        if answer is None:
            return None
        found += [
            str(item.get("EvalActionName"))
            for item in answer.get("EvaluationResults", [])
            if item.get("EvalDecision") != "allowed" and not item.get("MissingContextValues")
        ]
        if not answer.get("IsTruncated"):
            break
        asked["Marker"] = answer["Marker"]
    return tuple(dict.fromkeys(action for action in actions if action in found))
