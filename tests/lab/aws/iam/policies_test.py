"""What policy documents say about an action."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy_lab.aws.iam import policies

READ = {"Effect": "Allow", "Action": ["s3:Get*", "S3:ListBucket"], "Resource": "arn:aws:s3:::a/*"}
NEVER = {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}
ELSEWHERE = {"Effect": "Deny", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::?/*"}
BY_TAG = {
    "Effect": "Allow",
    "Action": "ec2:*",
    "Resource": "*",
    "Condition": {"StringEquals": {"aws:ResourceTag/team": "a"}},
}


@pytest.mark.parametrize(
    ("statements", "action", "resource", "outcome"),
    [
        ([], "s3:GetObject", "*", "implicitDeny"),
        ([READ], "s3:GetObject", "arn:aws:s3:::a/b/c", "allowed"),
        ([READ], "s3:listbucket", "arn:aws:s3:::a/b", "allowed"),
        ([READ], "s3:GetObject", "arn:aws:s3:::ab/c", "implicitDeny"),
        ([READ], "s3:PutObject", "arn:aws:s3:::a/b", "implicitDeny"),
        ([READ], "s3:GetObject", "*", "implicitDeny"),
        ([READ, NEVER], "s3:GetObject", "arn:aws:s3:::a/b", "allowed"),
        ([READ, NEVER], "ec2:DescribeVpcs", "*", "explicitDeny"),
        ([READ, ELSEWHERE], "s3:GetObject", "arn:aws:s3:::a/b", "allowed"),
        ([READ, ELSEWHERE], "s3:GetObject", "arn:aws:s3:::ab/c", "explicitDeny"),
        ([BY_TAG], "ec2:DescribeVpcs", "*", "implicitDeny"),
    ],
)
def test_the_outcome_follows_the_statements(
    statements: list[dict[str, Any]], action: str, resource: str, outcome: str
) -> None:
    decided = policies.decide({"p": {"Statement": statements}}, action, resource)
    assert decided.outcome == outcome
    assert (decided.matched == ("p",)) is (outcome != "implicitDeny")


def test_a_condition_names_the_values_that_are_missing() -> None:
    decided = policies.decide({"p": {"Statement": BY_TAG}}, "ec2:DescribeVpcs", "*")
    assert decided.missing == ("aws:ResourceTag/team",)


SAGEMAKER = "sagemaker.amazonaws.com"


@pytest.mark.parametrize(
    ("principal", "effect", "outcome"),
    [
        ({"Service": "sagemaker.amazonaws.com"}, "Allow", "allowed"),
        ({"Service": ["ec2.amazonaws.com", "sagemaker.amazonaws.com"]}, "Allow", "allowed"),
        ("*", "Allow", "allowed"),
        ({"Service": "ec2.amazonaws.com"}, "Allow", "implicitDeny"),
        ({"AWS": "arn:aws:iam::123456789012:root"}, "Allow", "implicitDeny"),
        ({"Service": "sagemaker.amazonaws.com"}, "Deny", "explicitDeny"),
    ],
)
def test_a_role_trusts_the_services_of_its_trust_policy(
    principal: Any, effect: str, outcome: str
) -> None:
    statement = {"Effect": effect, "Principal": principal, "Action": "sts:AssumeRole"}
    assert policies.trusts({"Statement": [statement]}, "Service", {SAGEMAKER}) == outcome


@pytest.mark.parametrize(("account", "outcome"), [("1", "allowed"), ("2", "implicitDeny")])
def test_the_conditions_of_a_trust_policy_count(account: str, outcome: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": SAGEMAKER},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": "1"}},
    }
    context = {"aws:sourceaccount": (account,)}
    assert policies.trusts({"Statement": statement}, "Service", {SAGEMAKER}, context) == outcome


@pytest.mark.parametrize(
    ("version", "resource", "outcome"),
    [
        ("2012-10-17", "arn:aws:ssm:::session/a*b-1", "allowed"),
        ("2012-10-17", "arn:aws:ssm:::session/aXb-1", "implicitDeny"),
        ("2008-10-17", "arn:aws:ssm:::session/a*b-1", "implicitDeny"),
    ],
)
def test_a_policy_variable_in_a_resource_is_plain_text(
    version: str, resource: str, outcome: str
) -> None:
    allow = {"Effect": "Allow", "Action": "ssm:*", "Resource": "arn:*:session/${aws:userid}-*"}
    documents = {"p": {"Version": version, "Statement": allow}}
    context = {"aws:userid": ("a*b",)}
    decided = policies.decide(documents, "ssm:TerminateSession", resource, context)
    assert decided.outcome == outcome


@pytest.mark.parametrize(
    ("version", "outcome"), [("2012-10-17", "allowed"), ("2008-10-17", "implicitDeny")]
)
def test_conditions_have_variables_as_their_document_has(version: str, outcome: str) -> None:
    owner = {"StringEquals": {"aws:ResourceTag/owner": "${aws:username}"}}
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": owner}
    context = {"aws:username": ("ann",), "aws:resourcetag/owner": ("ann",)}
    documents = {"p": {"Version": version, "Statement": allow}}
    assert policies.decide(documents, "ec2:RunInstances", "*", context).outcome == outcome


def test_conditions_are_evaluated_against_the_context() -> None:
    for team, outcome in (("a", "allowed"), ("b", "implicitDeny")):
        context = {"aws:resourcetag/team": (team,)}
        decided = policies.decide({"p": {"Statement": BY_TAG}}, "ec2:RunInstances", "*", context)
        assert (decided.outcome, decided.missing) == (outcome, ())
