"""All operations of Studio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.sagemaker.studio.apps import Apps
from sm_proxy_lab.aws.sagemaker.studio.domains import Domains
from sm_proxy_lab.aws.sagemaker.studio.records import Records
from sm_proxy_lab.aws.sagemaker.studio.sessions import SpaceSessions
from sm_proxy_lab.aws.sagemaker.studio.spaces import Spaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.gateway_client import GatewayClient
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.sagemaker.tags import Tags


class Studio:
    """Domains, user profiles, spaces, apps and sessions of all regions."""

    def __init__(
        self, tags: Tags, faults: Faults, gateway: GatewayClient, emit: Callable[..., None]
    ) -> None:
        records = Records()
        self.sessions = SpaceSessions(records, gateway, faults)
        apps = Apps(records, tags, faults, emit, self.sessions.up_since)
        self.operations: dict[str, Callable[[Call], dict[str, Any]]] = {
            **Domains(records, tags, faults).operations,
            **Spaces(records, tags, faults).operations,
            **apps.operations,
            **self.sessions.operations,
        }
