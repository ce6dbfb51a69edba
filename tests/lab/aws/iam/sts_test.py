"""Sessions of roles: who may begin them, and who their holders are."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy_lab.machines import role_credentials
from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.iam.identities import allow, client, document, make_role, session

LAB_ROLE = "arn:aws:iam::123456789012:role/LabRole"


def test_the_holder_of_a_sessions_keys_is_the_session(lab: Lab) -> None:
    role = make_role(lab)
    name = role.rpartition("/")[2]
    who = client(lab, "sts", session(lab, role)).get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::123456789012:assumed-role/{name}/me"
    role_id = lab.client("iam").get_role(RoleName=name)["Role"]["RoleId"]
    assert who["UserId"] == f"{role_id}:me"
    mine = lab.client("sts").get_caller_identity()
    assert mine["Arn"] == "arn:aws:sts::123456789012:assumed-role/LabRole/lab"


def test_a_container_has_the_role_of_its_job(lab: Lab, new_job: Any) -> None:
    assume = {"Service": "sagemaker.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": assume, "Action": "sts:AssumeRole"}
    other = make_role(lab, trust=trust)
    new_job(RoleArn=other)
    for role in (role_credentials.ARN, other):
        keys = role_credentials.keys_of(role)
        given = {
            "aws_access_key_id": keys["access_key"],
            "aws_secret_access_key": keys["secret_key"],
            "aws_session_token": keys["token"],
        }
        who = client(lab, "sts", given).get_caller_identity()
        assert who["Arn"].endswith(f":assumed-role/{role.rpartition('/')[2]}/SageMaker")
        code, words, _ = refusal(client(lab, "ec2", given).describe_instances)
        assert code == "UnauthorizedOperation"
        assert who["Arn"] in words


def _trust(effect: str = "Allow", **statement: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "sts:AssumeRole", **statement}


@pytest.mark.parametrize(
    ("trust", "words"),
    [
        (_trust(Principal={"Service": "ec2.amazonaws.com"}), "no role trust policy allows"),
        (_trust(Principal={"AWS": "arn:aws:iam::123456789012:role/x"}), "no role trust policy"),
        (_trust("Deny", Principal="*"), "explicit deny in a role trust policy"),
        (
            _trust(
                Principal={"AWS": "123456789012"},
                Condition={"StringEquals": {"sts:ExternalId": "secret"}},
            ),
            "no role trust policy",
        ),
    ],
)
def test_a_role_that_does_not_trust_the_caller_is_not_assumed(
    lab: Lab, trust: dict[str, Any], words: str
) -> None:
    role = make_role(lab, trust=trust)
    assume = lab.client("sts").assume_role
    code, message, status = refusal(assume, RoleArn=role, RoleSessionName="me")
    assert (code, status) == ("AccessDenied", 403)
    assert f"sts:AssumeRole on resource: {role}" in message
    assert words in message


@pytest.mark.parametrize(
    ("trust", "more"),
    [
        (_trust(Principal={"AWS": LAB_ROLE}), {}),
        (_trust(Principal={"AWS": ["arn:aws:iam::123456789012:root"]}), {}),
        (
            _trust(
                Principal={"AWS": "123456789012"},
                Condition={"StringEquals": {"sts:ExternalId": "secret"}},
            ),
            {"ExternalId": "secret"},
        ),
    ],
)
def test_a_role_that_trusts_the_caller_is_assumed(
    lab: Lab, trust: dict[str, Any], more: dict[str, str]
) -> None:
    assert session(lab, make_role(lab, trust=trust), **more)


def test_a_role_that_trusts_the_account_needs_a_permission_of_the_caller(lab: Lab) -> None:
    wanted = make_role(lab)
    for statements, allowed in (((), False), ((allow("sts:AssumeRole", wanted),), True)):
        sts = client(lab, "sts", session(lab, make_role(lab, *statements)))
        if allowed:
            sts.assume_role(RoleArn=wanted, RoleSessionName="next")
        else:
            code, words, _ = refusal(sts.assume_role, RoleArn=wanted, RoleSessionName="next")
            assert code == "AccessDenied"
            assert "no identity-based policy allows the sts:AssumeRole action" in words


def test_a_role_that_does_not_exist_is_an_administrators(lab: Lab) -> None:
    """So a profile with a role needs no role."""
    keys = session(lab, "arn:aws:iam::123456789012:role/path/research")
    who = client(lab, "sts", keys).get_caller_identity()
    assert who["Arn"] == "arn:aws:sts::123456789012:assumed-role/research/me"
    client(lab, "ec2", keys).describe_vpcs()
    assume = client(lab, "sts", session(lab, make_role(lab))).assume_role
    code, _, _ = refusal(assume, RoleArn=f"{LAB_ROLE}2", RoleSessionName="me")
    assert code == "AccessDenied"


def test_a_session_policy_narrows_the_session(lab: Lab) -> None:
    role = make_role(lab, allow("ec2:*"))
    keys = session(lab, role, Policy=document(allow("ec2:DescribeVpcs")))
    ec2 = client(lab, "ec2", keys)
    ec2.describe_vpcs()
    assert "no session policy allows" in refusal(ec2.describe_subnets)[1]


def test_a_user_has_the_policies_of_the_user_and_of_its_groups(lab: Lab) -> None:
    iam = lab.client("iam")
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="team")
    made = iam.create_access_key(UserName="ann")["AccessKey"]
    keys = {
        "aws_access_key_id": made["AccessKeyId"],
        "aws_secret_access_key": made["SecretAccessKey"],
    }
    ec2 = client(lab, "ec2", keys)
    assert client(lab, "sts", keys).get_caller_identity()["Arn"].endswith(":user/ann")
    assert "user/ann is not authorized" in refusal(ec2.describe_vpcs)[1]
    own = document(allow("ec2:DescribeVpcs", StringEquals={"aws:username": "ann"}))
    iam.put_user_policy(UserName="ann", PolicyName="own", PolicyDocument=own)
    ec2.describe_vpcs()
    groups = document(allow("ec2:DescribeSubnets"))
    iam.put_group_policy(GroupName="team", PolicyName="all", PolicyDocument=groups)
    refusal(ec2.describe_subnets)
    iam.add_user_to_group(UserName="ann", GroupName="team")
    ec2.describe_subnets()
