"""An account with Studio domains, spaces and apps, as the List and Describe calls show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from tests.fakes import Answers, FakeAws

BEGAN = datetime(2026, 11, 23, 9, tzinfo=timezone.utc)
GONE = ServiceError("ResourceNotFound", "no such space", "sagemaker:DescribeSpace")
DENIED = SmProxyError("access-denied", "sagemaker:ListSpaces is denied", "Ask your administrator.")
IMAGE = "arn:aws:sagemaker:eu-west-1:123456789012:image/sagemaker-distribution-cpu"


@dataclass
class Space:
    """A space; `app` is the status of its app, empty without one."""

    name: str
    domain: str = "d-one"
    owner: str = "jane"
    app: str = "InService"
    status: str = "InService"
    remote: str = "ENABLED"
    app_type: str = "JupyterLab"
    age_h: int = 1
    resources: dict[str, str] = field(default_factory=lambda: {"InstanceType": "ml.m5.large"})
    reason: str = ""

    @property
    def arn(self) -> str:
        return f"arn:aws:sagemaker:eu-west-1:123456789012:space/{self.domain}/{self.name}"

    @property
    def created(self) -> datetime:
        return BEGAN - timedelta(hours=self.age_h)

    def line(self) -> dict[str, Any]:
        return {
            "DomainId": self.domain,
            "SpaceName": self.name,
            "Status": self.status,
            "CreationTime": self.created,
            "SpaceSettingsSummary": {"AppType": self.app_type, "RemoteAccess": self.remote},
            "OwnershipSettingsSummary": {"OwnerUserProfileName": self.owner},
        }

    def description(self) -> dict[str, Any]:
        return {
            "DomainId": self.domain,
            "SpaceArn": self.arn,
            "SpaceName": self.name,
            "Status": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.created + timedelta(minutes=1),
            "FailureReason": self.reason,
            "SpaceSettings": {
                "AppType": self.app_type,
                "RemoteAccess": self.remote,
                "JupyterLabAppSettings": {"DefaultResourceSpec": {"InstanceType": "ml.t3.medium"}},
            },
        }

    def app_line(self) -> dict[str, Any]:
        return {
            "DomainId": self.domain,
            "SpaceName": self.name,
            "AppType": self.app_type,
            "AppName": "default",
            "Status": self.app,
            "CreationTime": self.created + timedelta(minutes=30),
            "ResourceSpec": self.resources,
        }


class Studio(FakeAws):
    """Answers from `spaces`, the newest first, in pages of 100."""

    def __init__(self, *spaces: Space, caller: str = "user/jane", **answers: Answers) -> None:
        self.spaces = list(spaces)
        who = {"Arn": f"arn:aws:iam::123456789012:{caller}", "Account": "123456789012"}
        known: dict[str, Answers] = {
            "ListSpaces": self._list,
            "ListApps": self._apps,
            "DescribeSpace": self._space,
            "DescribeApp": self._app,
            "GetCallerIdentity": who,
        }
        super().__init__(**{**known, **answers})

    @property
    def asked(self) -> list[str]:
        return [operation for operation, _ in self.calls]

    def ensure_credentials(self) -> None:
        pass

    def _list(self, **wanted: Any) -> dict[str, Any]:
        found = [
            space.line()
            for space in sorted(self.spaces, key=lambda space: space.age_h)
            if wanted.get("SpaceNameContains", "") in space.name
            and wanted.get("DomainIdEquals", space.domain) == space.domain
        ]
        return _page("Spaces", found, wanted)

    def _apps(self, **wanted: Any) -> dict[str, Any]:
        found = [
            space.app_line()
            for space in self.spaces
            if space.app and wanted.get("DomainIdEquals", space.domain) == space.domain
        ]
        return _page("Apps", found, wanted)

    def _find(self, wanted: dict[str, Any]) -> Space:
        for space in self.spaces:
            if (space.domain, space.name) == (wanted["DomainId"], wanted["SpaceName"]):
                return space
        raise GONE

    def _space(self, **wanted: Any) -> dict[str, Any]:
        return self._find(wanted).description()

    def _app(self, **wanted: Any) -> dict[str, Any]:
        assert wanted["AppName"] == "default"
        space = self._find(wanted)
        if not space.app or space.app_type != wanted["AppType"]:
            raise GONE
        return {**space.app_line(), "FailureReason": space.reason}


def _page(member: str, found: list[dict[str, Any]], wanted: dict[str, Any]) -> dict[str, Any]:
    order = (wanted["SortBy"], wanted["SortOrder"], wanted["MaxResults"])
    assert order == ("CreationTime", "Descending", 100)
    start = int(wanted.get("NextToken", 0))
    more = {"NextToken": str(start + 100)} if len(found) > start + 100 else {}
    return {member: found[start : start + 100], **more}
