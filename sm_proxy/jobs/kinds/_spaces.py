"""The List calls for Studio spaces and their apps, and what both say about a space."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.jobs.job import Phase, Summary
from sm_proxy.jobs.kinds._calls import PAGE
from sm_proxy.jobs.name_matching import NAME
from sm_proxy.jobs.times import first_time

APP: Final = "default"
"""AppName of the one app that a space of today's Studio has (AWS Toolkit, `sagemaker.ts`)."""
REACHABLE_APPS: Final = frozenset({"CodeEditor", "JupyterLab"})
"""AppTypes that remote access knows (SageMaker guide, "Set up remote access")."""
_BY_APP: Final[dict[str, tuple[str, Phase]]] = {
    "InService": ("InService", "running"),
    "Pending": ("Pending", "starting"),
    "Deleting": ("Stopping", "ended"),
}
"""By AppStatus."""
_PAGES: Final = 40
_DOMAIN: Final = re.compile(SESSION_KINDS["space"].labels)
_LIVELY: Final = ("InService", "Pending", "Deleting", "Failed")
"""AppStatus: which of a space's apps counts. A deleted one stays listed for a day."""
_EVER: Final = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, kw_only=True)
class App:
    """An app of a space.

    Attributes:
        status: AppStatus.
        since: its CreationTime.
    """

    status: str
    since: datetime

    @property
    def rank(self) -> tuple[int, datetime]:
        """The highest one counts."""
        known = self.status in _LIVELY
        return (-_LIVELY.index(self.status) if known else -len(_LIVELY), self.since)


@dataclass(frozen=True, kw_only=True)
class ListedSpace:
    """A space in the result of ListSpaces.

    Attributes:
        name: as the service spells it.
        domain: its id.
        owner: the user profile that owns it; empty if unknown.
        space_status: Status of the space, which does not tell whether its app runs.
        created: its CreationTime.
        remote_access: whether sessions may reach it.
        app_type: such as `JupyterLab`; empty in Studio Classic.
        app: its app; None without one, or before `with_apps`.
    """

    name: str
    domain: str
    owner: str
    space_status: str
    created: datetime
    remote_access: bool
    app_type: str
    app: App | None = None

    @property
    def since(self) -> datetime:
        """When its app started; before all apps if it has none."""
        return self.app.since if self.app else _EVER

    def summary(self) -> Summary:
        """For lists of jobs of all kinds."""
        status, phase = state(self.space_status, self.app.status if self.app else "")
        return Summary(
            name=self.name,
            kind="space",
            status=status,
            phase=phase,
            created=self.created,
            place=self.domain,
            remote_access=self.remote_access,
        )


def state(space_status: str, app_status: str) -> tuple[str, Phase]:
    """Status and phase of a space.

    Args:
        space_status: SpaceStatus.
        app_status: AppStatus; empty without an app.
    """
    if space_status == "Deleting":
        return "Deleting", "ended"
    if app_status in _BY_APP:
        return _BY_APP[app_status]
    if space_status in {"Pending", "Updating"}:
        return space_status, "starting"
    if "Failed" in {app_status, space_status}:
        return "Failed", "failed"
    return "Stopped", "ended"


def list_spaces(aws: Aws, contains: str = "", domain: str = "") -> list[ListedSpace]:
    """The spaces of an account, the newest first: one call for 100, 4000 at most.

    Args:
        aws: for the calls.
        contains: only spaces whose name contains this.
        domain: only those of this domain.

    Raises:
        SmProxyError: a call failed.
    """
    wanted = {"SpaceNameContains": contains, "DomainIdEquals": domain}
    found = _pages(aws, "ListSpaces", "Spaces", wanted)
    return [space for item in found if (space := _read(item)) is not None]


def with_apps(aws: Aws, spaces: list[ListedSpace]) -> list[ListedSpace]:
    """The same spaces with their apps: one call of ListApps for 100 apps.

    Raises:
        SmProxyError: a call failed.
    """
    domains = {space.domain for space in spaces}
    apps = list_apps(aws, domains.pop() if len(domains) == 1 else "")
    return [replace(space, app=apps.get((space.domain, space.name))) for space in spaces]


def list_apps(aws: Aws, domain: str = "") -> dict[tuple[str, str], App]:
    """The app that counts by domain and space: one call for 100 apps, also for deleted ones.

    Raises:
        SmProxyError: a call failed.
    """
    apps: dict[tuple[str, str], App] = {}
    for item in _pages(aws, "ListApps", "Apps", {"DomainIdEquals": domain}):
        if item.get("AppName") != APP or item.get("AppType") not in REACHABLE_APPS:
            continue
        key = str(item.get("DomainId", "")), str(item.get("SpaceName", ""))
        app = App(status=str(item.get("Status", "")), since=first_time(item.get("CreationTime")))
        apps[key] = max(app, apps.get(key, app), key=lambda each: each.rank)
    return apps


def _read(item: Mapping[str, Any]) -> ListedSpace | None:
    name, domain = str(item.get("SpaceName", "")), str(item.get("DomainId", ""))
    if not NAME.fullmatch(name) or not _DOMAIN.fullmatch(domain):
        return None
    owner = (item.get("OwnershipSettingsSummary") or {}).get("OwnerUserProfileName", "")
    settings = item.get("SpaceSettingsSummary") or {}
    return ListedSpace(
        name=name,
        domain=domain,
        owner=str(owner),
        space_status=str(item.get("Status", "")),
        created=first_time(item.get("CreationTime")),
        remote_access=settings.get("RemoteAccess") == "ENABLED",
        app_type=str(settings.get("AppType") or ""),
    )


def _pages(
    aws: Aws, operation: str, member: str, filters: Mapping[str, str]
) -> Iterator[Mapping[str, Any]]:
    parameters: dict[str, Any] = {
        **{name: value for name, value in filters.items() if value},
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": PAGE,
    }
    for _ in range(_PAGES):
        try:
            answer = aws.call("sagemaker", operation, **parameters)
        except ServiceError as error:
            raise error.as_failure() from None
        yield from answer.get(member, [])
        if not answer.get("NextToken"):
            return
        parameters["NextToken"] = answer["NextToken"]
