"""Roles and the simulation of their policies, as a client sees them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sm_proxy_lab.aws.iam.roles import NETWORK_ACTIONS
from sm_proxy_lab.machines import role_credentials
from tests.lab.aws.harness import Lab, refusal

TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole"}
OBJECT = "arn:aws:s3:::sm-proxy-lab/key"


@pytest.fixture
def role(lab: Lab) -> Iterator[tuple[str, str]]:
    """A role without policies: its name and its ARN."""
    iam = lab.client("iam")
    name = f"role-{uuid.uuid4().hex[:8]}"
    trust = {**TRUST, "Principal": {"Service": "ec2.amazonaws.com"}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    yield name, made["Role"]["Arn"]
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=attached["PolicyArn"])
        iam.delete_policy(PolicyArn=attached["PolicyArn"])
    iam.delete_role(RoleName=name)


def simulated(lab: Lab, arn: str, actions: list[str], *resources: str) -> list[str]:
    """The decisions about each action and resource."""
    request: dict[str, Any] = {"PolicySourceArn": arn, "ActionNames": actions}
    if resources:
        request["ResourceArns"] = list(resources)
    found = lab.client("iam").simulate_principal_policy(**request)["EvaluationResults"]
    return [result["EvalDecision"] for result in found]


def test_the_role_of_the_labs_jobs_may_read_data_and_be_in_a_vpc(lab: Lab) -> None:
    role = lab.client("iam").get_role(RoleName="sm-proxy-lab")["Role"]
    assert role["Arn"] == role_credentials.ARN
    principal = role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]
    assert principal == {"Service": "sagemaker.amazonaws.com"}
    assert simulated(lab, role["Arn"], ["s3:GetObject", "s3:DeleteObject"], OBJECT) == [
        "allowed",
        "implicitDeny",
    ]
    assert set(simulated(lab, role["Arn"], list(NETWORK_ACTIONS))) == {"allowed"}


@pytest.mark.parametrize(
    ("region", "partition"),
    [("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn"), ("us-east-1", "aws")],
)
def test_each_partition_has_roles_of_its_own(lab: Lab, region: str, partition: str) -> None:
    iam = lab.client("iam", region)
    role = iam.get_role(RoleName="sm-proxy-lab")["Role"]
    assert role["Arn"] == role_credentials.ARN.replace("arn:aws:", f"arn:{partition}:")
    policy = iam.get_role_policy(RoleName="sm-proxy-lab", PolicyName="sm-proxy-lab")
    data = policy["PolicyDocument"]["Statement"][0]
    assert data["Resource"] == f"arn:{partition}:s3:::*"


def test_a_simulation_follows_inline_and_attached_policies(lab: Lab, role: tuple[str, str]) -> None:
    name, arn = role
    iam = lab.client("iam")
    assert simulated(lab, arn, ["s3:GetObject"], OBJECT) == ["implicitDeny"]
    allow = {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    made = iam.create_policy(PolicyName=f"read-{name}", PolicyDocument=document)
    managed = made["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=managed)
    assert simulated(lab, arn, ["s3:GetObject", "s3:PutObject"], OBJECT) == [
        "allowed",
        "implicitDeny",
    ]
    deny = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": OBJECT}
    document = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    iam.put_role_policy(RoleName=name, PolicyName="no", PolicyDocument=document)
    assert simulated(lab, arn, ["s3:GetObject"], OBJECT, f"{OBJECT}2") == [
        "explicitDeny",
        "allowed",
    ]
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=arn,
        ActionNames=["s3:GetObject", "s3:ListBucket", "a:b"],
        PaginationConfig={"PageSize": 2},
    )
    assert [len(page["EvaluationResults"]) for page in pages] == [2, 1]


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("arn:aws:iam::123456789012:role/nope", "NoSuchEntity"),
        ("arn:aws:iam::999999999999:role/sm-proxy-lab", "NoSuchEntity"),
        ("arn:aws:sts::123456789012:assumed-role/LabRole/lab", "InvalidInput"),
    ],
)
def test_only_an_existing_role_can_be_simulated(lab: Lab, source: str, code: str) -> None:
    simulate = lab.client("iam").simulate_principal_policy
    assert refusal(simulate, PolicySourceArn=source, ActionNames=["a:b"])[0] == code


def test_the_simulation_itself_can_be_denied(lab: Lab) -> None:
    lab.control.faults(deny=["iam:Simulate*"])
    simulate = lab.client("iam").simulate_principal_policy
    code, words, _ = refusal(
        simulate, PolicySourceArn=role_credentials.ARN, ActionNames=["s3:GetObject"]
    )
    assert code == "AccessDenied"
    assert "iam:SimulatePrincipalPolicy" in words


@pytest.mark.parametrize(
    ("operation", "member", "most"),
    [
        ("create_policy", "PolicyDocument", 6144),
        ("create_role", "AssumeRolePolicyDocument", 2048),
        ("put_role_policy", "PolicyDocument", 10_240),
    ],
)
def test_a_policy_has_a_longest_size(
    lab: Lab, role: tuple[str, str], operation: str, member: str, most: int
) -> None:
    iam, name = lab.client("iam"), f"size-{uuid.uuid4().hex[:8]}"
    names = {
        "create_policy": {"PolicyName": name},
        "create_role": {"RoleName": name},
        "put_role_policy": {"RoleName": role[0], "PolicyName": name},
    }[operation]
    is_trust = operation == "create_role"
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    statement |= {"Principal": {"AWS": "*"}} if is_trust else {"Resource": ["x"]}
    document = {"Version": "2012-10-17", "Statement": [statement | {"Sid": "s" * most}]}
    refused = refusal(getattr(iam, operation), **names, **{member: json.dumps(document)})
    assert (refused[0], refused[2]) == ("LimitExceeded", 409)
    assert str(most) in refused[1]
