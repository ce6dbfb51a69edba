"""May this request to S3 be served? The caller may all; a job's containers, what their role may."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sm_proxy_lab.aws import denial
from sm_proxy_lab.aws.http import s3_names
from sm_proxy_lab.aws.iam import policies
from sm_proxy_lab.aws.s3 import buckets, signature
from sm_proxy_lab.machines import role_credentials

if TYPE_CHECKING:
    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.iam.roles import Roles


def check(call: Call, roles: Roles, faults: Faults) -> None:
    """Check signature, permissions and region of a request.

    Raises:
        AwsError: The refusal.
    """
    if not call.via:  # a service of the lab acts for its caller without the caller's secret
        signature.check(call)
    for needed in _needed(call):
        faults.check_action(needed)
        if call.access_key == role_credentials.ACCESS_KEY:
            _check_role(needed, roles)
    buckets.check(call)


def _check_role(call: Call, roles: Roles) -> None:
    """Refuse what the role of the jobs may not do."""
    resource = denial.resource(call)
    outcome = roles.decide(call, role_credentials.ARN, call.action, resource).outcome
    if outcome != policies.ALLOWED:
        explicit = ": Deny" if outcome == policies.EXPLICIT_DENY else ""
        raise denial.refusal(call, denial.IDENTITY + explicit)


def _needed(call: Call) -> list[Call]:
    """The call, and for a copy the reading of its source."""
    source = call.headers.get("x-amz-copy-source")
    if not source:
        return [call]
    path = "/" + unquote(source.partition("?")[0]).lstrip("/")
    operation = s3_names.action("GET", path) or call.operation
    return [call, dataclasses.replace(call, method="GET", path=path, operation=operation)]
