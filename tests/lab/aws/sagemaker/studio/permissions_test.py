"""What IAM asks for the operations of Studio."""

from __future__ import annotations

from typing import Any

from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.iam.identities import allow, client, make_role, session
from tests.lab.aws.sagemaker.studio.conftest import SPEC, NewSpace, app

ARN = "arn:aws:sagemaker:us-east-1:123456789012"


def _as(lab: Lab, *statements: dict[str, Any]) -> Any:
    return client(lab, "sagemaker", session(lab, make_role(lab, *statements)))


def test_each_operation_needs_its_own_resource(lab: Lab, new_space: NewSpace) -> None:
    space = new_space()
    domain = space["DomainId"]
    nobody = _as(lab)
    profile = {"DomainId": domain, "UserProfileName": "me"}
    for call, request, resource in (
        (nobody.describe_domain, {"DomainId": domain}, f"domain/{domain}"),
        (nobody.describe_user_profile, profile, f"user-profile/{domain}/me"),
        (nobody.describe_space, space, f"space/{domain}/My-Space"),
        (nobody.describe_app, app(space), f"app/{domain}/My-Space/jupyterlab/default"),
    ):
        code, message, _ = refusal(call, **request)
        assert code == "AccessDeniedException"
        assert f"on resource: {ARN}:{resource} " in message
    for call in (nobody.list_domains, nobody.list_user_profiles, nobody.list_spaces):
        assert " on resource: * " in refusal(call, MaxResults=1)[1]
    assert " on resource: * " in refusal(nobody.list_apps, DomainIdEquals=domain)[1]


def test_a_session_needs_the_space_and_its_tags_decide(lab: Lab, new_space: NewSpace) -> None:
    mine, yours = (
        new_space(name, Tags=[{"Key": "owner", "Value": name}]) for name in ("mine", "yours")
    )
    sagemaker = lab.client("sagemaker")
    arns = []
    for space in (mine, yours):
        sagemaker.create_app(**app(space, ResourceSpec=SPEC))
        arns.append(sagemaker.describe_space(**space)["SpaceArn"])
    mine_only = {"aws:ResourceTag/owner": "mine"}
    user = _as(lab, allow("sagemaker:StartSession", f"{ARN}:space/*", StringEquals=mine_only))
    assert user.start_session(ResourceIdentifier=arns[0])
    code, message, _ = refusal(user.start_session, ResourceIdentifier=arns[1])
    assert code == "AccessDeniedException"
    assert f"sagemaker:StartSession on resource: {arns[1]} " in message


def test_a_policy_can_keep_remote_access_off(lab: Lab, new_space: NewSpace) -> None:
    space = new_space(remote="DISABLED")
    enabled = {"sagemaker:RemoteAccess": "ENABLED"}
    refused = {**allow("sagemaker:UpdateSpace", StringEquals=enabled), "Effect": "Deny"}
    user = _as(lab, allow("sagemaker:*"), refused)
    user.update_space(**space, SpaceDisplayName="Mine")
    change = {"SpaceSettings": {"RemoteAccess": "ENABLED"}}
    assert "explicit deny" in refusal(user.update_space, **space, **change)[1]


def test_the_tags_of_a_new_app_need_a_permission(lab: Lab, new_space: NewSpace) -> None:
    user = _as(lab, allow("sagemaker:CreateApp", f"{ARN}:app/*"))
    request = app(new_space(), ResourceSpec=SPEC)
    tagged = {**request, "Tags": [{"Key": "a", "Value": "b"}]}
    assert "sagemaker:AddTags" in refusal(user.create_app, **tagged)[1]
    user.create_app(**request)
