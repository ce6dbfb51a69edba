"""Refuses to delete what is in use, as EC2 does: moto would delete it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.vpc import records

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_REFUSALS: Final = {
    "DeleteSubnet": ("SubnetId", "The subnet '{}' has dependencies and cannot be deleted."),
    "DeleteSecurityGroup": ("GroupId", "resource {} has a dependent object"),
}
"""Operation -> (parameter with the id to delete, message of the refusal)."""


def check(call: Call) -> None:
    """Refuse to delete a subnet or a security group that is in use.

    Raises:
        AwsError: DependencyViolation.
    """
    if call.operation not in _REFUSALS:
        return
    parameter, message = _REFUSALS[call.operation]
    wanted = str(call.params.get(parameter, ""))
    if wanted in records.in_use(call.region):
        raise AwsError("DependencyViolation", message.format(wanted))
