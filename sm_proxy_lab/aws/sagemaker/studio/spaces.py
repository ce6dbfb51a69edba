"""Studio's spaces."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.sagemaker.studio import lists
from sm_proxy_lab.aws.sagemaker.studio.records import (
    IN_SERVICE,
    UPDATE_FAILED,
    Key,
    Records,
    Thing,
    in_use,
    invalid,
    not_found,
)

if TYPE_CHECKING:
    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.sagemaker.tags import Tags

_SHOWN = ("AppType", "RemoteAccess", "SpaceStorageSettings")


class Spaces:
    """The operations on spaces."""

    def __init__(self, records: Records, tags: Tags, faults: Faults) -> None:
        self._records = records
        self._tags = tags
        self._faults = faults
        self.operations = {
            "CreateSpace": self._create,
            "UpdateSpace": self._update,
            "DescribeSpace": self._describe,
            "ListSpaces": self._list,
            "DeleteSpace": self._delete,
        }

    def _key(self, call: Call) -> Key:
        key = (call.region, call.params["DomainId"], call.params["SpaceName"])
        if key not in self._records.spaces:
            raise not_found("Space", key[2])
        return key

    def _create(self, call: Call) -> dict[str, Any]:
        region, domain = call.region, call.params["DomainId"]
        name, tags = call.params["SpaceName"], call.params.get("Tags", [])
        self._tags.check(tags)
        with self._records.lock:
            if (region, domain) not in self._records.domains:
                raise not_found("Domain", domain)
            if (region, domain, name) in self._records.spaces:
                raise in_use("Space", name, "already exists.")
            # Unlike a job's, the name keeps its capitals: it is case-sensitive (assumed).
            arn = call.arn("sagemaker", f"space/{domain}/{name}")
            _check_sharing(call.params, arn)
            owner = call.params.get("OwnershipSettings", {}).get("OwnerUserProfileName")
            if owner and (region, domain, owner) not in self._records.profiles:
                raise not_found("UserProfile", owner)
            takes_s = self._faults.studio_s("space_ms")
            request = {**copy.deepcopy(call.params), "SpaceArn": arn, "Url": _url(call)}
            self._records.spaces[region, domain, name] = Thing(arn, request, takes_s)
            self._tags.keep(arn, tags)
        return {"SpaceArn": arn}

    def _update(self, call: Call) -> dict[str, Any]:
        with self._records.lock:
            key = self._key(call)
            space = self._records.spaces[key]
            changes = copy.deepcopy(call.params.get("SpaceSettings", {}))
            if "AppType" in changes:  # even the same one: boto/boto3 issue 4375
                raise invalid("Updating AppType for Space is not supported.")
            if space.status not in {IN_SERVICE, UPDATE_FAILED}:
                raise in_use("Space", key[2], f"is {space.status}.")
            # AWS's own client stops the app before it updates a space. The error is that of
            # UpdateDomain: hashicorp/terraform-provider-aws issue 31912.
            if changes and self._records.app_of(key) is not None:
                advice = f"Delete all InService apps in the space [{key[2]}], and try again."
                raise invalid(f"Unable to update Space [{space.arn}] with InService App. {advice}")
            space.modified = time.time()
            space.failure = self._faults.studio("update_failure")
            if not space.failure:
                space.request.setdefault("SpaceSettings", {}).update(changes)
                if "SpaceDisplayName" in call.params:
                    space.request["SpaceDisplayName"] = call.params["SpaceDisplayName"]
            return {"SpaceArn": space.arn}

    def _describe(self, call: Call) -> dict[str, Any]:
        with self._records.lock:
            return self._records.spaces[self._key(call)].describe("DescribeSpace")

    def _list(self, call: Call) -> dict[str, Any]:
        wanted, part = (call.params.get(it, "") for it in ("DomainIdEquals", "SpaceNameContains"))
        with self._records.lock:
            found = [
                space
                for (region, domain, name), space in self._records.spaces.items()
                if region == call.region and wanted in {"", domain} and part in name
            ]
            return lists.page(found, call.params, "Spaces", _summary)

    def _delete(self, call: Call) -> dict[str, Any]:
        with self._records.lock:
            key = self._key(call)
            if self._records.app_of(key) is not None:
                # The form is that of DeleteUserProfile: aws/amazon-sagemaker-feedback issue 113.
                arn = self._records.spaces[key].arn
                message = f"Unable to delete Space [{arn}] because App(s) are associated with it."
                raise AwsError("ResourceInUse", message)
            self._tags.drop(self._records.spaces.pop(key).arn)
        return {}


def _url(call: Call) -> str:
    return f"https://{call.params['DomainId']}.studio.{call.region}.sagemaker.aws"


def _check_sharing(params: dict[str, Any], arn: str) -> None:
    """Refuse what CreateSpace does not take together.

    Sources: API reference, CreateSpace: ownership and sharing each need the other.
    hashicorp/terraform-provider-aws issue 38370: a private space needs SpaceSettings.
    """
    given = {name for name in ("OwnershipSettings", "SpaceSharingSettings") if name in params}
    if len(given) == 1:
        raise invalid("OwnershipSettings and SpaceSharingSettings must be given together.")
    private = params.get("SpaceSharingSettings", {}).get("SharingType") == "Private"
    if private and "SpaceSettings" not in params:
        raise invalid(f"SpaceSettings must be provided for creating private space [{arn}]")


def _summary(space: Thing) -> dict[str, Any]:
    settings = space.request.get("SpaceSettings", {})
    shown = {name: settings[name] for name in _SHOWN if name in settings}
    answer: dict[str, Any] = {
        "DomainId": space.request["DomainId"],
        "SpaceName": space.request["SpaceName"],
        "Status": space.status,
        **space.times(),
        "SpaceSettingsSummary": copy.deepcopy(shown),
    }
    for name in ("OwnershipSettings", "SpaceSharingSettings"):
        if name in space.request:
            answer[f"{name}Summary"] = copy.deepcopy(space.request[name])
    if "SpaceDisplayName" in space.request:
        answer["SpaceDisplayName"] = space.request["SpaceDisplayName"]
    return answer
