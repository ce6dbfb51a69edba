"""Removes what moto keeps of deleted things: EC2 would no longer show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sm_proxy_lab.aws.vpc import records

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_OPERATIONS: Final = {"DeleteNatGateway", "DeleteVpcEndpoints", "TerminateInstances"}


def remove(call: Call) -> None:
    """Remove what the operation `call` should have removed."""
    if call.operation in _OPERATIONS:
        records.remove_leftovers(call.region)
