"""A Studio space and its app, as SageMaker describes them now.

A space is a home directory with settings. Its app is the machine: an instance with a server in a
container.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.kinds._calls import describe_if_there
from sm_proxy.jobs.kinds._spaces import APP, REACHABLE_APPS


@dataclass(frozen=True)
class App:
    """The app of a space.

    Attributes:
        status: `Pending`, `InService`, `Failed`, `Deleting` or `Deleted`.
        spec: its ResourceSpec.
        failure_reason: the service's message; empty unless it has failed.
        created: its CreationTime; None if the service does not tell it.
    """

    status: str
    spec: Mapping[str, str] = field(default_factory=dict)
    failure_reason: str = ""
    created: datetime | None = None

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
        arn: its ARN.
        status: `InService`, `Pending`, `Updating`, `Update_Failed`, `Failed`, `Deleting` or
            `Delete_Failed`.
        failure_reason: the service's message; empty unless something has failed.
        app_type: of its app; empty for a space of Studio Classic.
        remote_access: whether ssh may reach an app that starts now.
        app_settings: its settings for its app, such as when an idle one ends; may be empty.
        app: its app; None if it has none, or one that takes no remote access.
        created: its CreationTime; None if the service does not tell it.
        modified: its LastModifiedTime; None if the service does not tell it.
    """

    name: str
    domain: str
    arn: str
    status: str
    failure_reason: str = ""
    app_type: str = ""
    remote_access: bool = False
    app_settings: Mapping[str, Any] = field(default_factory=dict)
    app: App | None = None
    created: datetime | None = None
    modified: datetime | None = None

    @property
    def spec(self) -> dict[str, str]:
        """The DefaultResourceSpec of its app; empty if it has none."""
        return dict(self.app_settings.get("DefaultResourceSpec") or {})

    @property
    def used_spec(self) -> Mapping[str, str]:
        """The ResourceSpec of an app that runs or starts, else that of the next one."""
        return self.app.spec if self.app is not None and self.app.live else self.spec

    @property
    def image(self) -> str:
        """The image of `used_spec`, such as `sagemaker-distribution-cpu:2.7.1`; empty if unknown.

        It is the last part of its ARN, and the version if an alias tells it.
        """
        image = str(self.used_spec.get("SageMakerImageArn") or "").rpartition("/")[2]
        version = str(self.used_spec.get("SageMakerImageVersionAlias") or "")
        return f"{image}:{version}" if image and version else image

    @property
    def key(self) -> dict[str, str]:
        """The parameters that name it in a call."""
        return {"DomainId": self.domain, "SpaceName": self.name}

    @property
    def app_key(self) -> dict[str, str]:
        """The parameters that name its app in a call."""
        return {**self.key, "AppType": self.app_type, "AppName": APP}


def find(aws: Aws, domain: str, name: str) -> Space | None:
    """The space and its app, None if there is no space: DescribeSpace, then DescribeApp.

    Args:
        aws: for the calls.
        domain: the id of its domain.
        name: of the space.

    Raises:
        SmProxyError: a call failed.
    """
    answer = describe_if_there(aws, "DescribeSpace", {"DomainId": domain, "SpaceName": name})
    if answer is None:
        return None
    settings = answer.get("SpaceSettings") or {}
    kind = str(settings.get("AppType") or "")
    found = Space(
        name=name,
        domain=domain,
        arn=str(answer.get("SpaceArn", "")),
        status=str(answer.get("Status", "")),
        failure_reason=str(answer.get("FailureReason") or ""),
        app_type=kind,
        remote_access=settings.get("RemoteAccess") == "ENABLED",
        app_settings=dict(settings.get(f"{kind}AppSettings") or {}),
        created=answer.get("CreationTime"),
        modified=answer.get("LastModifiedTime"),
    )
    return replace(found, app=app_of(aws, found)) if kind in REACHABLE_APPS else found


def describe(aws: Aws, domain: str, name: str) -> Space:
    """As `find`, for a space that was there a moment ago.

    Raises:
        SmProxyError: `job-not-found`, or a call failed.
    """
    found = find(aws, domain, name)
    if found is None:
        raise SmProxyError(
            "job-not-found",
            f"there is no Studio space {name} in the domain {domain}",
            "Look for its name in: sm-proxy list",
        )
    return found


def app_of(aws: Aws, space: Space) -> App | None:
    """The app of a space; None if there is none: DescribeApp.

    Raises:
        SmProxyError: the call failed.
    """
    answer = describe_if_there(aws, "DescribeApp", space.app_key)
    if answer is None:
        return None
    return App(
        status=str(answer.get("Status", "")),
        spec=dict(answer.get("ResourceSpec") or {}),
        failure_reason=str(answer.get("FailureReason") or ""),
        created=answer.get("CreationTime"),
    )
