"""What the bastion's SSM agent may do: have sessions, and nothing else.

The managed policy AmazonSSMManagedInstanceCore also lets it read every parameter and document of
the account, for Run Command, State Manager and Patch Manager. Nobody runs those on a bastion that
is replaced by a newer image every month.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sm_proxy.infra.policies.statement import Scope, Statement

WHO: Final = "the role of the bastion"
_SOURCE: Final = (
    "AWS Systems Manager User Guide, Create a custom IAM role for Session Manager, minimal"
)
_ACTIONS: Final = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
OWN: Final[Mapping[str, str]] = dict.fromkeys(_ACTIONS, _SOURCE)


def statements(_scope: Scope) -> tuple[Statement, ...]:
    """The agent registers the bastion and opens its channels; these actions know no resource."""
    return (
        Statement("SessionsOnly", _ACTIONS, ("*",), "Session Manager does not reach the bastion"),
    )
