"""A Studio space and its app, as SageMaker describes them now.

A space is a home directory with settings. Its app is the machine: an instance with a server in a
container.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.kinds._spaces import APP, REACHABLE_APPS

_ABSENT: Final = "ResourceNotFound"


@dataclass(frozen=True)
class App:
    """The app of a space.

    Attributes:
        status: `Pending`, `InService`, `Failed`, `Deleting` or `Deleted`.
        spec: its ResourceSpec.
        failure_reason: the service's message; empty unless it has failed.
    """

    status: str
    spec: Mapping[str, str] = field(default_factory=dict)
    failure_reason: str = ""

    @property
    def live(self) -> bool:
        """Whether it runs, or is about to."""
        return self.status in {"Pending", "InService"}

    @property
    def gone(self) -> bool:
        """Whether it has been deleted; SageMaker describes it for another day."""
        return self.status == "Deleted"


@dataclass(frozen=True, kw_only=True)
class Space:
    """A space.

    Attributes:
        name: as the service spells it.
        domain: the id of its domain.
        status: `InService`, `Pending`, `Updating`, `Update_Failed`, `Failed`, `Deleting` or
            `Delete_Failed`.
        failure_reason: the service's message; empty unless something has failed.
        app_type: of its app; empty for a space of Studio Classic.
        remote_access: whether ssh may reach an app that starts now.
        app_settings: its settings for its app, such as when an idle one ends; may be empty.
        app: its app; None if it has none, or one that takes no remote access.
    """

    name: str
    domain: str
    status: str
    failure_reason: str = ""
    app_type: str = ""
    remote_access: bool = False
    app_settings: Mapping[str, Any] = field(default_factory=dict)
    app: App | None = None

    @property
    def spec(self) -> dict[str, str]:
        """The DefaultResourceSpec of its app; empty if it has none."""
        return dict(self.app_settings.get("DefaultResourceSpec") or {})

    @property
    def key(self) -> dict[str, str]:
        """The parameters that name it in a call."""
        return {"DomainId": self.domain, "SpaceName": self.name}

    @property
    def app_key(self) -> dict[str, str]:
        """The parameters that name its app in a call."""
        return {**self.key, "AppType": self.app_type, "AppName": APP}


def describe(aws: Aws, domain: str, name: str) -> Space:
    """The space and its app: DescribeSpace, then DescribeApp.

    Args:
        aws: for the calls.
        domain: the id of its domain.
        name: of the space.

    Raises:
        SmProxyError: `job-not-found`, or a call failed.
    """
    answer = _call(aws, "DescribeSpace", {"DomainId": domain, "SpaceName": name})
    if answer is None:
        raise SmProxyError(
            "job-not-found",
            f"there is no Studio space {name} in the domain {domain}",
            "Look for its name in: sm-proxy list",
        )
    settings = answer.get("SpaceSettings") or {}
    kind = str(settings.get("AppType") or "")
    found = Space(
        name=name,
        domain=domain,
        status=str(answer.get("Status", "")),
        failure_reason=str(answer.get("FailureReason", "")),
        app_type=kind,
        remote_access=settings.get("RemoteAccess") == "ENABLED",
        app_settings=dict(settings.get(f"{kind}AppSettings") or {}),
    )
    return replace(found, app=app_of(aws, found)) if kind in REACHABLE_APPS else found


def app_of(aws: Aws, space: Space) -> App | None:
    """The app of a space; None if there is none: DescribeApp.

    Raises:
        SmProxyError: the call failed.
    """
    answer = _call(aws, "DescribeApp", space.app_key)
    if answer is None:
        return None
    return App(
        status=str(answer.get("Status", "")),
        spec=dict(answer.get("ResourceSpec") or {}),
        failure_reason=str(answer.get("FailureReason", "")),
    )


def _call(aws: Aws, operation: str, parameters: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        return aws.call("sagemaker", operation, **parameters)
    except ServiceError as error:
        if error.error == _ABSENT:
            return None
        raise error.as_failure() from None
