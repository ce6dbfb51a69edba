"""The apps of spaces. The supervisor starts and stops their containers."""

from __future__ import annotations

import copy
import itertools
import time
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.sagemaker.studio import lists
from sm_proxy_lab.aws.sagemaker.studio.records import (
    DELETED,
    DELETING,
    IN_SERVICE,
    App,
    Key,
    Records,
    Thing,
    in_use,
    invalid,
    not_found,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.sagemaker.tags import Tags

_DEFAULT_TYPE: Final = "ml.t3.medium"
_TOO_SMALL: Final = {
    "ml.t3.medium",
    *(f"ml.{family}.large" for family in ("c5", "c6i", "c6id", "c7i")),
}
"""Remote access needs 8 GiB. Source: Developer Guide, "Connect your Remote IDE"."""
_SETTINGS: Final = {"JupyterLab": "JupyterLabAppSettings", "CodeEditor": "CodeEditorAppSettings"}
"""The app types that a space of the lab can run."""


class Apps:
    """The operations on apps.

    Args:
        records: all of Studio's records.
        tags: keeps the tags.
        faults: the knobs of a test.
        emit: tells the supervisor.
        up_since: tells since when the container of a target is up, in seconds since 1970.
    """

    def __init__(
        self,
        records: Records,
        tags: Tags,
        faults: Faults,
        emit: Callable[..., None],
        up_since: Callable[[str], float | None],
    ) -> None:
        self._records = records
        self._tags = tags
        self._faults = faults
        self._emit = emit
        self._up_since = up_since
        self._numbers = itertools.count(1)
        self.operations = {
            "CreateApp": self._create,
            "DescribeApp": self._describe,
            "ListApps": self._list,
            "DeleteApp": self._delete,
        }

    def _create(self, call: Call) -> dict[str, Any]:
        key, tags = _key(call), call.params.get("Tags", [])
        self._tags.check(tags)
        with self._records.lock:
            space = self._records.spaces.get(key[:3])
            if space is None:
                raise not_found("Space", key[2])
            spec = _check(call.params, space)
            # One app in a space (assumed: the error).
            if self._records.app_of(key[:3]) is not None:
                raise in_use("App", key[4], "already exists.")
            self._check_quota(key, spec["InstanceType"])
            target = f"sagemaker-space:{key[1]}_{key[2]}-{next(self._numbers)}"
            # The app's type is in lower case in the ARN: hashicorp/terraform-provider-aws 36008.
            arn = call.arn("sagemaker", "/".join(("app", *key[1:3], key[3].lower(), key[4])))
            takes_s = self._faults.studio_s("app_ms")
            failure = self._faults.studio("app_failure")
            request = {**copy.deepcopy(call.params), "AppArn": arn}
            app = App(arn, request, spec, target, takes_s, failure, self._up_since)
            self._records.apps.pop(key, None)
            self._records.apps[key] = app
            self._tags.keep(arn, tags)
        if not failure:
            names = {"domain": key[1], "space": key[2], "app_type": key[3], "region": key[0]}
            self._emit("app-created", kind="space", job=target, arn=arn, **names)
        return {"AppArn": arn}

    def _check_quota(self, key: Key, size: str) -> None:
        """Refuse an app for whose instance the account has no quota.

        Source for the form: jupyterlab/jupyterlab issue 8759.
        """
        limit = self._faults["quotas"].get(size)
        running = sum(
            one.counts and (known[0], known[3], one.spec["InstanceType"]) == (key[0], key[3], size)
            for known, one in self._records.apps.items()
        )
        if limit is not None and running >= limit:
            message = (
                f"The account-level service limit 'Studio {key[3]} Apps running on {size} "
                f"instance' is {limit} Apps, with current utilization of {running} Apps and a "
                "request delta of 1 Apps. Please use AWS Service Quotas to request an increase "
                "for this quota. If AWS Service Quotas is not available, contact AWS support to "
                "request an increase for this quota."
            )
            raise AwsError("ResourceLimitExceeded", message)

    def _find(self, call: Call) -> App:
        key = _key(call)
        app = self._records.apps.get(key)
        if app is None:
            raise not_found("App", key[4])
        return app

    def _describe(self, call: Call) -> dict[str, Any]:
        with self._records.lock:
            app = self._find(call)
            answer = {"AppArn": app.arn, **app.summary()}
            if app.status == "Failed":
                answer["FailureReason"] = app.failure
            return answer

    def _list(self, call: Call) -> dict[str, Any]:
        domain, name, user = (
            call.params.get(it, "")
            for it in ("DomainIdEquals", "SpaceNameEquals", "UserProfileNameEquals")
        )
        with self._records.lock:
            found = [
                app
                for key, app in self._records.apps.items()
                if key[0] == call.region and domain in {"", key[1]} and name in {"", key[2]}
            ]
            # The lab has the apps of spaces only, none of a user profile.
            return lists.page([] if user else found, call.params, "Apps", App.summary)

    def _delete(self, call: Call) -> dict[str, Any]:
        with self._records.lock:
            app = self._find(call)
            if app.status in {DELETING, DELETED}:
                raise in_use("App", call.params["AppName"], f"is {app.status}.")
            app.deleted = time.time()
        self._emit("app-deleted", kind="space", job=app.target)
        return {}


def _key(call: Call) -> Key:
    """Region, domain, space, app type and app name.

    Raises:
        AwsError: the app is not one of a space.
    """
    params = call.params
    if ("SpaceName" in params) == ("UserProfileName" in params):
        raise invalid("Exactly one of SpaceName and UserProfileName is needed.")
    if "SpaceName" not in params:
        raise invalid("The lab has no apps of user profiles, only those of spaces.")
    return (
        *(call.region, params["DomainId"], params["SpaceName"]),
        *(params["AppType"], params["AppName"]),
    )


def _check(params: dict[str, Any], space: Thing) -> dict[str, Any]:
    """The ResourceSpec of a new app: the request's, else the space's. The messages are assumed.

    Raises:
        AwsError: the service would refuse the app.
    """
    settings, kind = space.request.get("SpaceSettings", {}), params["AppType"]
    if space.status != IN_SERVICE:
        raise invalid(f"Space [{params['SpaceName']}] is {space.status}, not InService.")
    if kind not in _SETTINGS or settings.get("AppType", kind) != kind:
        raise invalid(f"Space [{params['SpaceName']}] does not support the AppType {kind}.")
    if params["AppName"] != "default":
        raise invalid(f"The AppName of a {kind} app must be default.")
    default = settings.get(_SETTINGS[kind], {}).get("DefaultResourceSpec", {})
    spec = {"InstanceType": _DEFAULT_TYPE, **default, **params.get("ResourceSpec", {})}
    size = spec["InstanceType"]
    if settings.get("RemoteAccess") == "ENABLED" and size in _TOO_SMALL:
        # In the words of AWS's own client, aws-toolkit-vscode.
        raise invalid(
            f"Unable to create app for [{params['SpaceName']}] because instanceType [{size}] is "
            "not supported for remote access enabled spaces. Use instanceType with at least "
            "8 GiB memory."
        )
    return spec
