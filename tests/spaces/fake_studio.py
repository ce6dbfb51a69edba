"""One space and its app, whose statuses change as SageMaker changes them."""

from __future__ import annotations

from typing import Any

from sm_proxy.aws import errors
from sm_proxy.aws.errors import ServiceError
from tests.fakes import Answers, FakeAws

DOMAIN = "d-abc"
NAME = "Lab"
IMAGE = "arn:aws:sagemaker:eu-west-1:111122223333:image/own"
LIFECYCLE = "arn:aws:sagemaker:eu-west-1:111122223333:studio-lifecycle-config/own"
ARN = f"arn:aws:sagemaker:eu-west-1:111122223333:space/{DOMAIN}/{NAME}"
SPEC = {
    "InstanceType": "ml.m5.large",
    "SageMakerImageArn": IMAGE,
    "SageMakerImageVersionAlias": "3.2.0",
    "LifecycleConfigArn": LIFECYCLE,
}


def refused(error: str, message: str = "no", action: str = "Call") -> ServiceError:
    return ServiceError(error, message, f"sagemaker:{action}")


class StudioAws(FakeAws):
    """Has a botocore that knows these operations only."""

    known: tuple[str, ...] = ("StartSession",)

    def refuse_unknown(self, service: str, operation: str) -> None:
        if operation not in self.known:
            raise errors.unknown_to_botocore(f"{service}:{operation}")


class FakeStudio:
    """An account with one space.

    A status in a queue is described once; the last one stays.
    """

    def __init__(
        self, *app: str, remote: bool = True, app_type: str = "JupyterLab", **spec: str
    ) -> None:
        self.settings: dict[str, Any] = {"AppType": app_type} if app_type else {}
        if remote:
            self.settings["RemoteAccess"] = "ENABLED"
        self.spec = spec or dict(SPEC)
        self.space = ["InService"]
        self.app = list(app)
        self.app_spec = dict(self.spec)
        self.app_settings: dict[str, Any] = {}
        """The other settings of the space for its app."""
        self.reason = ""
        self.starts = ["Pending", "Pending", "InService"]
        """What a new app goes through."""
        self.updates = ["Updating", "InService"]
        self.refusals: dict[str, BaseException] = {}
        """What a call fails with."""

    def aws(self, **answers: Answers) -> FakeAws:
        calls: dict[str, Answers] = {
            "ListSpaces": self._list,
            "ListApps": lambda **_: {"Apps": []},
            "DescribeSpace": self._describe_space,
            "DescribeApp": self._describe_app,
            "UpdateSpace": self._update,
            "CreateApp": self._create,
            "DeleteApp": self._delete,
        }
        return StudioAws(**{**calls, **answers})

    def _check(self, operation: str, given: dict[str, Any]) -> None:
        assert (given["DomainId"], given["SpaceName"]) == (DOMAIN, NAME)
        if operation in self.refusals:
            raise self.refusals[operation]

    def _list(self, **given: Any) -> dict[str, Any]:
        found = {"SpaceName": NAME, "DomainId": DOMAIN, "Status": self.space[0]}
        return {"Spaces": [found] if given.get("SpaceNameContains", "") in NAME else []}

    def _describe_space(self, **given: Any) -> dict[str, Any]:
        self._check("DescribeSpace", given)
        status = self.space.pop(0) if len(self.space) > 1 else self.space[0]
        kind = self.settings.get("AppType", "JupyterLab")
        return {
            "Status": status,
            "SpaceArn": ARN,
            "FailureReason": self.reason,
            "SpaceSettings": {
                **self.settings,
                f"{kind}AppSettings": {
                    **self.app_settings,
                    "DefaultResourceSpec": dict(self.spec),
                },
            },
        }

    def _describe_app(self, **given: Any) -> dict[str, Any]:
        self._check("DescribeApp", given)
        assert given["AppName"] == "default"
        if not self.app or given["AppType"] != self.settings.get("AppType", "JupyterLab"):
            raise refused("ResourceNotFound")
        status = self.app.pop(0) if len(self.app) > 1 else self.app[0]
        return {"Status": status, "FailureReason": self.reason, "ResourceSpec": self.app_spec}

    def _update(self, **given: Any) -> dict[str, Any]:
        self._check("UpdateSpace", given)
        if self.app and self.app[0] not in {"Deleted", "Failed"}:
            raise refused("ValidationException", "an app runs", "UpdateSpace")
        told = dict(given["SpaceSettings"])
        for kind in ("JupyterLab", "CodeEditor"):
            if change := told.pop(f"{kind}AppSettings", None):
                self.app_settings = dict(change)
                self.spec = dict(self.app_settings.pop("DefaultResourceSpec"))
        self.settings.update(told)
        self.space = list(self.updates)
        return {}

    def _create(self, **given: Any) -> dict[str, Any]:
        self._check("CreateApp", given)
        if self.app and self.app[0] != "Deleted":
            raise refused("ResourceInUse", "there is one", "CreateApp")
        self.app, self.app_spec = list(self.starts), dict(given["ResourceSpec"])
        return {}

    def _delete(self, **given: Any) -> dict[str, Any]:
        self._check("DeleteApp", given)
        if self.app[0] == "Pending":
            raise refused("ResourceInUse", "it is starting", "DeleteApp")
        self.app = ["Deleting", "Deleted"]
        return {}


def changing(aws: FakeAws) -> list[str]:
    """The calls that change something, in order."""
    return [name for name, _ in aws.calls if not name.startswith(("Describe", "List"))]


def given(aws: FakeAws, operation: str) -> dict[str, Any]:
    """The parameters of the only call of an operation."""
    (found,) = [parameters for name, parameters in aws.calls if name == operation]
    return found
