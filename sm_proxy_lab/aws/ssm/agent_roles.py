"""Whether the role of an instance lets its agent have sessions.

Source: the Systems Manager user guide, "Create a custom IAM role for Session Manager".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sm_proxy_lab.aws.iam import policies
from sm_proxy_lab.aws.iam.policies import ALLOWED
from sm_proxy_lab.aws.iam.roles import AGENT_ACTIONS
from sm_proxy_lab.aws.vpc import records

if TYPE_CHECKING:
    from sm_proxy_lab.aws.iam.roles import Roles
    from sm_proxy_lab.aws.vpc.enforcement import Enforcement

_ACTIONS: Final = ("ssm:UpdateInstanceInformation", *AGENT_ACTIONS)


@dataclass(frozen=True)
class AgentRoles:
    """Judges the agents of instances in a lab that has begun empty."""

    roles: Roles
    enforcement: Enforcement

    def connects(self, region: str, instance_id: str) -> bool:
        """Whether the agent may connect, by its instance profile, and reaches the service."""
        arn = records.instance_role(region, instance_id)
        if arn is None:
            return False
        documents = self.roles.documents(arn)
        allowed = all(
            policies.decide(documents, action, "*").outcome == ALLOWED for action in _ACTIONS
        )
        return allowed and self.enforcement.agent_reaches(region, instance_id)
