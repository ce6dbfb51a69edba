"""What the policies do not allow."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.infra import policies
from tests.lab.aws.harness import job_request, refusal
from tests.lab.aws.iam.identities import client, make_role, session
from tests.policies.place import SCOPE, Place

pytestmark = pytest.mark.xdist_group("policies")
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
