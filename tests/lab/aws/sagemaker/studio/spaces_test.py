"""Spaces, and the domains and user profiles they belong to."""

from __future__ import annotations

import pytest

from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.sagemaker.studio.conftest import HELD, QUICK, SPEC, NewSpace, app


def test_a_space_is_described_and_listed(lab: Lab, domain: str, new_space: NewSpace) -> None:
    sagemaker = lab.client("sagemaker")
    owner = {"OwnerUserProfileName": "me"}
    sharing = {"SharingType": "Private"}
    named = new_space(OwnershipSettings=owner, SpaceSharingSettings=sharing)
    found = sagemaker.describe_space(**named)
    assert found["SpaceArn"].endswith(f":123456789012:space/{domain}/My-Space")
    assert (found["Status"], found["OwnershipSettings"]) == ("InService", owner)
    (listed,) = sagemaker.list_spaces(DomainIdEquals=domain)["Spaces"]
    assert listed["SpaceSettingsSummary"] == {"AppType": "JupyterLab", "RemoteAccess": "ENABLED"}
    assert listed["OwnershipSettingsSummary"] == owner
    assert "SpaceArn" not in listed
    profile = sagemaker.describe_user_profile(DomainId=domain, UserProfileName="me")
    assert profile["UserProfileArn"].endswith(f":user-profile/{domain}/me")
    assert sagemaker.describe_domain(DomainId=domain)["Status"] == "InService"


def test_a_new_space_and_a_changed_one_take_time(lab: Lab, new_space: NewSpace) -> None:
    lab.control.faults(studio={**QUICK, "space_ms": HELD})
    sagemaker = lab.client("sagemaker")
    named = new_space(remote="DISABLED")

    def status() -> str:
        return str(sagemaker.describe_space(**named)["Status"])

    assert status() == "Pending"
    change = {"SpaceSettings": {"RemoteAccess": "ENABLED"}}
    assert refusal(sagemaker.update_space, **named, **change)[0] == "ResourceInUse"
    lab.control.faults(studio=QUICK)
    assert status() == "InService"
    sagemaker.update_space(**named, **change)
    lab.control.faults(studio={**QUICK, "space_ms": HELD})
    assert status() == "Updating"
    lab.control.faults(studio=QUICK)
    assert status() == "InService"
    settings = sagemaker.describe_space(**named)["SpaceSettings"]
    assert settings == {"AppType": "JupyterLab", "RemoteAccess": "ENABLED"}


def test_an_update_can_fail(lab: Lab, new_space: NewSpace) -> None:
    sagemaker = lab.client("sagemaker")
    named = new_space(remote="DISABLED")
    lab.control.faults(studio={**QUICK, "update_failure": "no capacity"})
    sagemaker.update_space(**named, SpaceSettings={"RemoteAccess": "ENABLED"})
    found = sagemaker.describe_space(**named)
    assert (found["Status"], found["FailureReason"]) == ("Update_Failed", "no capacity")
    assert found["SpaceSettings"]["RemoteAccess"] == "DISABLED"


def test_a_space_with_an_app_is_neither_changed_nor_deleted(lab: Lab, new_space: NewSpace) -> None:
    sagemaker = lab.client("sagemaker")
    named = new_space()
    sagemaker.create_app(**app(named, ResourceSpec=SPEC))
    change = {"SpaceSettings": {"RemoteAccess": "DISABLED"}}
    code, message, _ = refusal(sagemaker.update_space, **named, **change)
    assert (code, "with InService App" in message) == ("ValidationException", True)
    assert refusal(sagemaker.delete_space, **named)[0] == "ResourceInUse"
    sagemaker.update_space(**named, SpaceDisplayName="Mine")
    assert sagemaker.describe_space(**named)["SpaceDisplayName"] == "Mine"
    sagemaker.delete_app(**app(named))
    sagemaker.update_space(**named, **change)
    sagemaker.delete_space(**named)
    code, message, _ = refusal(sagemaker.describe_space, **named)
    assert (code, message) == ("ResourceNotFound", "Space [My-Space] does not exist.")


def test_the_app_type_of_a_space_stays(lab: Lab, new_space: NewSpace) -> None:
    settings = {"AppType": "JupyterLab"}
    found = refusal(lab.client("sagemaker").update_space, **new_space(), SpaceSettings=settings)
    assert found[:2] == ("ValidationException", "Updating AppType for Space is not supported.")


def test_names_are_unique_in_a_domain_and_keep_their_capitals(
    lab: Lab, new_space: NewSpace
) -> None:
    sagemaker = lab.client("sagemaker")
    named = new_space("Case")
    new_space("case")
    assert refusal(sagemaker.create_space, **named)[0] == "ResourceInUse"
    other = sagemaker.create_domain(
        DomainName=f"other-{named['DomainId']}", AuthMode="IAM", DefaultUserSettings={}
    )["DomainId"]
    sagemaker.create_space(DomainId=other, SpaceName="Case")
    spaces = sagemaker.list_spaces(SpaceNameContains="Case", MaxResults=100)["Spaces"]
    domains = [space["DomainId"] for space in spaces if space["SpaceName"] == "Case"]
    assert domains[-2:] == [named["DomainId"], other]


def test_lists_are_filtered_sorted_and_paged(lab: Lab, domain: str, new_space: NewSpace) -> None:
    sagemaker = lab.client("sagemaker")
    names = [f"space-{number:02}" for number in range(12)]
    for name in names:
        new_space(name)
    first = sagemaker.list_spaces(DomainIdEquals=domain)
    assert [space["SpaceName"] for space in first["Spaces"]] == names[:10]
    rest = sagemaker.list_spaces(DomainIdEquals=domain, NextToken=first["NextToken"])
    assert [space["SpaceName"] for space in rest["Spaces"]] == names[10:]
    assert "NextToken" not in rest
    few = sagemaker.list_spaces(
        DomainIdEquals=domain, SpaceNameContains="space-1", SortOrder="Descending", MaxResults=1
    )
    assert [space["SpaceName"] for space in few["Spaces"]] == ["space-11"]
    sagemaker.update_space(DomainId=domain, SpaceName="space-00", SpaceDisplayName="Newest")
    by_change = {"SortBy": "LastModifiedTime", "SortOrder": "Descending", "MaxResults": 1}
    newest = sagemaker.list_spaces(DomainIdEquals=domain, **by_change)["Spaces"]
    assert newest[0]["SpaceName"] == "space-00"
    assert refusal(sagemaker.list_spaces, NextToken="x")[0] == "ValidationException"
    profiles = sagemaker.list_user_profiles(DomainIdEquals=domain, UserProfileNameContains="m")
    assert [profile["UserProfileName"] for profile in profiles["UserProfiles"]] == ["me"]
    domains = sagemaker.get_paginator("list_domains").paginate().search("Domains[].DomainId")
    assert domain in list(domains)
    assert sagemaker.list_spaces(DomainIdEquals="d-elsewhere")["Spaces"] == []
    west = lab.client("sagemaker", "us-west-2")
    assert west.list_spaces(DomainIdEquals=domain)["Spaces"] == []


@pytest.mark.parametrize(
    ("request_of", "code"),
    [
        ({"DomainId": "d-none"}, "ResourceNotFound"),
        ({"OwnershipSettings": {"OwnerUserProfileName": "me"}}, "ValidationException"),
        ({"SpaceName": "a_b"}, "ValidationException"),
        (
            {
                "OwnershipSettings": {"OwnerUserProfileName": "me"},
                "SpaceSharingSettings": {"SharingType": "Private"},
            },
            "ValidationException",
        ),
        (
            {
                "OwnershipSettings": {"OwnerUserProfileName": "you"},
                "SpaceSharingSettings": {"SharingType": "Private"},
                "SpaceSettings": {"AppType": "JupyterLab"},
            },
            "ResourceNotFound",
        ),
    ],
)
def test_a_wrong_request_for_a_space_is_refused(
    lab: Lab, domain: str, request_of: dict[str, object], code: str
) -> None:
    request = {"DomainId": domain, "SpaceName": "wrong", **request_of}
    client = lab.client("sagemaker", parameter_validation=False)
    assert refusal(client.create_space, **request)[0] == code


def test_a_domain_is_deleted_after_what_is_in_it(
    lab: Lab, domain: str, new_space: NewSpace
) -> None:
    sagemaker = lab.client("sagemaker")
    owner = {"OwnerUserProfileName": "me"}
    named = new_space(OwnershipSettings=owner, SpaceSharingSettings={"SharingType": "Private"})
    profile = {"DomainId": domain, "UserProfileName": "me"}
    assert refusal(sagemaker.delete_user_profile, **profile)[0] == "ResourceInUse"
    sagemaker.delete_space(**named)
    assert refusal(sagemaker.delete_domain, DomainId=domain)[0] == "ResourceInUse"
    sagemaker.delete_user_profile(**profile)
    sagemaker.delete_domain(DomainId=domain)
    assert refusal(sagemaker.describe_domain, DomainId=domain)[0] == "ResourceNotFound"


def test_a_space_has_tags(lab: Lab, new_space: NewSpace) -> None:
    sagemaker = lab.client("sagemaker")
    tag = {"Key": "sagemaker:user-profile-arn", "Value": "arn:x"}
    named = new_space(Tags=[tag])
    arn = sagemaker.describe_space(**named)["SpaceArn"]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [tag]
    sagemaker.delete_space(**named)
    assert refusal(sagemaker.list_tags, ResourceArn=arn)[0] == "ResourceNotFound"
    new_space()
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []
