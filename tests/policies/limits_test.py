"""What the policies do not allow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from sm_proxy.infra import policies
from tests.lab.aws.harness import job_request, refusal
from tests.lab.aws.iam.identities import client, make_role, session
from tests.policies.place import ACCOUNT, SCOPE, Place, make_space

pytestmark = pytest.mark.xdist_group("policies")
SPACES_MD: Final = Path(__file__).parents[2] / "docs" / "spaces.md"
FORWARD = {
    "DocumentName": "AWS-StartPortForwardingSessionToRemoteHost",
    "Parameters": {"host": ["10.0.1.5"], "portNumber": ["22"], "localPortNumber": ["1"]},
}


def caller(account: Place, service: str, *pieces: str) -> Any:
    """A client of somebody who has these pieces, and nothing else."""
    account.allow([row for piece in pieces for row in policies.statements(piece, SCOPE)])
    keys = {name.lower(): value for name, value in account.keys.items()}
    return client(account.lab, service, keys)


def test_a_user_starts_sessions_on_bastions_only(account: Place) -> None:
    ssm = caller(account, "ssm", "user")
    ssm.start_session(Target=account.bastion, **FORWARD)
    ec2 = account.lab.client("ec2")
    made = ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)
    other = made["Instances"][0]["InstanceId"]
    words = refusal(ssm.start_session, Target=other, **FORWARD)[1]
    assert (
        f"ssm:StartSession on resource: arn:aws:ec2:us-east-1:123456789012:instance/{other}"
        in words
    )
    ec2.terminate_instances(InstanceIds=[other])


def test_a_user_runs_no_commands_on_a_bastion(account: Place) -> None:
    ssm = caller(account, "ssm", "user")
    for document in ("AWS-StartInteractiveCommand", "AWS-StartNonInteractiveCommand"):
        words = refusal(ssm.start_session, Target=account.bastion, DocumentName=document)[1]
        assert "ssm:StartSession" in words


def test_a_user_does_not_end_the_sessions_of_others(account: Place) -> None:
    ssm = caller(account, "ssm", "user")
    theirs = client(account.lab, "ssm", session(account.lab, account.role, "somebody-else"))
    begun = theirs.start_session(Target=account.bastion, **FORWARD)["SessionId"]
    assert "ssm:TerminateSession" in refusal(ssm.terminate_session, SessionId=begun)[1]
    theirs.terminate_session(SessionId=begun)


def test_a_user_creates_no_jobs(account: Place) -> None:
    create = caller(account, "sagemaker", "user").create_training_job
    assert "sagemaker:CreateTrainingJob" in refusal(create, **job_request("x"))[1]


def test_the_stacks_user_policy_reaches_no_space_and_no_node(account: Place) -> None:
    sagemaker = account.lab.client("sagemaker")
    space = sagemaker.describe_space(**make_space(account.lab, "stacks"))["SpaceArn"]
    cluster = sagemaker.describe_cluster(ClusterName="c")["ClusterArn"].rpartition("/")[2]
    (node, *_) = sagemaker.list_cluster_nodes(ClusterName="c")["ClusterNodeSummaries"]
    target = f"sagemaker-cluster:{cluster}_{node['InstanceGroupName']}-{node['InstanceId']}"
    keys = {name.lower(): value for name, value in account.keys.items()}
    sessions = (
        ("sagemaker", {"ResourceIdentifier": space}),
        ("ssm", {"Target": target, "DocumentName": "AWS-StartSSHSession"}),
        ("ssm", {"Target": target, "DocumentName": "SSM-SessionManagerRunShell"}),
    )
    rows = policies.statements("user", SCOPE)
    for service, request in sessions:
        start = client(account.lab, service, keys).start_session
        account.allow(rows)
        assert start(**request)["SessionId"]
        account.allow([row for row in rows if row.in_stack])
        assert f"{service}:StartSession" in refusal(start, **request)[1]


def test_the_conditions_of_the_docs_keep_people_to_their_own_spaces(account: Place) -> None:
    text = SPACES_MD.read_text(encoding="utf-8").replace("111122223333", ACCOUNT)
    (shown,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    by_tag = json.loads(shown.replace("${aws:PrincipalTag/owner}", "jane"))
    key, profile = re.findall(r'"(sagemaker:ResourceTag/\S*)":\s+"(\S*)"', text)[0]
    by_profile = {**by_tag, "Condition": {"ArnLike": {key: profile}}}
    hers = {"owner": "jane", "sagemaker:user-profile-arn": profile.replace(":*:", ":us-east-1:")}
    sagemaker = account.lab.client("sagemaker")
    arns = []
    for name, tags in (("janes", hers), ("joes", {"owner": "joe"})):
        made = [{"Key": key, "Value": value} for key, value in tags.items()]
        space = make_space(account.lab, name, Tags=made)
        arns.append(sagemaker.describe_space(**space)["SpaceArn"])
    for statement in (by_tag, by_profile):
        jane = session(account.lab, make_role(account.lab, statement))
        start = client(account.lab, "sagemaker", jane).start_session
        assert start(ResourceIdentifier=arns[0])["SessionId"]
        assert "sagemaker:StartSession" in refusal(start, ResourceIdentifier=arns[1])[1]


def test_no_user_can_take_over_a_space_by_a_tag(account: Place) -> None:
    """Else conditions on the tags of spaces would keep nobody out."""
    space = account.lab.client("sagemaker").describe_space(**make_space(account.lab, "tagless"))
    tag = caller(account, "sagemaker", "user", "launcher").add_tags
    theirs = {"ResourceArn": space["SpaceArn"], "Tags": [{"Key": "owner", "Value": "me"}]}
    assert "sagemaker:AddTags" in refusal(tag, **theirs)[1]


def test_a_launcher_passes_the_roles_of_jobs_only(account: Place) -> None:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    mighty = make_role(account.lab, trust=trust)
    create = caller(account, "sagemaker", "user", "launcher").create_training_job
    words = refusal(create, **job_request("x") | {"RoleArn": mighty})[1]
    assert f"iam:PassRole on resource: {mighty}" in words


def test_a_builder_pushes_to_repositories_for_images_only(account: Place) -> None:
    account.lab.client("ecr").create_repository(repositoryName="theirs-too")
    push = caller(account, "ecr", "build").initiate_layer_upload
    assert "ecr:InitiateLayerUpload" in refusal(push, repositoryName="theirs-too")[1]


def test_an_administrator_deletes_images_of_the_stack_only(account: Place) -> None:
    tags = [{"Key": "sm-proxy:role", "Value": "image"}]
    account.lab.client("ecr").create_repository(repositoryName="of-nobody", tags=tags)
    delete = caller(account, "ecr", "admin").delete_repository
    assert "ecr:DeleteRepository" in refusal(delete, repositoryName="of-nobody")[1]
