"""Studio's domains and user profiles."""

from __future__ import annotations

import copy
import secrets
import string
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.sagemaker.studio import lists
from sm_proxy_lab.aws.sagemaker.studio.records import Records, Thing, in_use, not_found

if TYPE_CHECKING:
    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.sagemaker.tags import Tags


class Domains:
    """The operations on domains and user profiles."""

    def __init__(self, records: Records, tags: Tags, faults: Faults) -> None:
        self._records = records
        self._tags = tags
        self._faults = faults
        self.operations = {
            "CreateDomain": self._create,
            "DescribeDomain": self._describe,
            "ListDomains": self._list,
            "DeleteDomain": self._delete,
            "CreateUserProfile": self._create_profile,
            "DescribeUserProfile": self._describe_profile,
            "ListUserProfiles": self._list_profiles,
            "DeleteUserProfile": self._delete_profile,
        }

    def _find(self, call: Call) -> Thing:
        domain = call.params["DomainId"]
        found = self._records.domains.get((call.region, domain))
        if found is None:
            raise not_found("Domain", domain)
        return found

    def _new(self, call: Call, arn: str, **more: Any) -> Thing:
        self._tags.check(call.params.get("Tags", []))
        self._tags.keep(arn, call.params.get("Tags", []))
        takes_s = self._faults.studio_s("space_ms")
        return Thing(arn, {**copy.deepcopy(call.params), **more}, takes_s)

    def _create(self, call: Call) -> dict[str, Any]:
        name = call.params["DomainName"]
        with self._records.lock:
            taken = {
                domain.request["DomainName"]
                for (region, _), domain in self._records.domains.items()
                if region == call.region
            }
            if name in taken:
                raise in_use("Domain", name, "already exists.")
            alphabet = string.ascii_lowercase + string.digits
            identity = "d-" + "".join(secrets.choice(alphabet) for _ in range(12))
            arn = call.arn("sagemaker", f"domain/{identity}")
            url = f"https://{identity}.studio.{call.region}.sagemaker.aws"
            domain = self._new(call, arn, DomainId=identity, DomainArn=arn, Url=url)
            self._records.domains[call.region, identity] = domain
        return {"DomainArn": arn, "DomainId": identity, "Url": url}

    def _describe(self, call: Call) -> dict[str, Any]:
        return self._find(call).describe("DescribeDomain")

    def _list(self, call: Call) -> dict[str, Any]:
        here = [one for key, one in list(self._records.domains.items()) if key[0] == call.region]
        names = ("DomainArn", "DomainId", "DomainName", "Url")

        def summary(domain: Thing) -> dict[str, Any]:
            shown = {name: domain.request[name] for name in names}
            return {**shown, "Status": domain.status, **domain.times()}

        return lists.page(here, call.params, "Domains", summary)

    def _delete(self, call: Call) -> dict[str, Any]:
        with self._records.lock:
            self._find(call)
            key = (call.region, call.params["DomainId"])
            if any(used[:2] == key for used in [*self._records.profiles, *self._records.spaces]):
                raise in_use("Domain", key[1], "has user profiles or spaces.")
            self._tags.drop(self._records.domains.pop(key).arn)
        return {}

    def _profile_key(self, call: Call) -> tuple[str, str, str]:
        key = (call.region, call.params["DomainId"], call.params["UserProfileName"])
        if key not in self._records.profiles:
            raise not_found("UserProfile", key[2])
        return key

    def _create_profile(self, call: Call) -> dict[str, Any]:
        domain, name = call.params["DomainId"], call.params["UserProfileName"]
        with self._records.lock:
            self._find(call)
            if (call.region, domain, name) in self._records.profiles:
                raise in_use("UserProfile", name, "already exists.")
            arn = call.arn("sagemaker", f"user-profile/{domain}/{name}")
            profile = self._new(call, arn, UserProfileArn=arn)
            self._records.profiles[call.region, domain, name] = profile
        return {"UserProfileArn": arn}

    def _describe_profile(self, call: Call) -> dict[str, Any]:
        return self._records.profiles[self._profile_key(call)].describe("DescribeUserProfile")

    def _list_profiles(self, call: Call) -> dict[str, Any]:
        wanted, part = (
            call.params.get(name, "") for name in ("DomainIdEquals", "UserProfileNameContains")
        )
        found = [
            profile
            for (region, domain, name), profile in list(self._records.profiles.items())
            if region == call.region and wanted in {"", domain} and part in name
        ]

        def summary(profile: Thing) -> dict[str, Any]:
            shown = {name: profile.request[name] for name in ("DomainId", "UserProfileName")}
            return {**shown, "Status": profile.status, **profile.times()}

        return lists.page(found, call.params, "UserProfiles", summary)

    def _delete_profile(self, call: Call) -> dict[str, Any]:
        with self._records.lock:
            key = self._profile_key(call)
            owners = (
                space.request.get("OwnershipSettings", {}).get("OwnerUserProfileName")
                for used, space in self._records.spaces.items()
                if used[:2] == key[:2]
            )
            if key[2] in owners:
                raise in_use("UserProfile", key[2], "owns a space.")
            self._tags.drop(self._records.profiles.pop(key).arn)
        return {}
