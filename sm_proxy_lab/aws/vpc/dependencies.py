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
    "DeleteVpc": ("VpcId", "The vpc '{}' has dependencies and cannot be deleted."),
    "DetachInternetGateway": (
        "VpcId",
        (
            "Network {} has some mapped public address(es). Please unmap those public address(es) "
            "before detaching the gateway."
        ),
    ),
    "ReleaseAddress": ("AllocationId", "Address with allocation id {} is in use."),
}
"""Operation -> (parameter with the id to delete, message of the refusal)."""


def check(call: Call) -> None:
    """Refuse to delete what is in use.

    Raises:
        AwsError: DependencyViolation; InvalidIPAddress.InUse for an address.
    """
    if call.operation not in _REFUSALS:
        return
    parameter, message = _REFUSALS[call.operation]
    wanted = str(call.params.get(parameter, ""))
    if call.operation == "DetachInternetGateway":
        used = records.mapped(call.region)
    else:
        used = records.in_use(call.region)
    if wanted in used:
        code = "InvalidIPAddress.InUse" if parameter == "AllocationId" else "DependencyViolation"
        raise AwsError(code, message.format(wanted))
