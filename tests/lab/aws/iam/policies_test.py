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


@pytest.mark.parametrize(
    ("principal", "effect", "trusted"),
    [
        ({"Service": "sagemaker.amazonaws.com"}, "Allow", True),
        ({"Service": ["ec2.amazonaws.com", "sagemaker.amazonaws.com"]}, "Allow", True),
        ({"Service": "ec2.amazonaws.com"}, "Allow", False),
        ({"AWS": "arn:aws:iam::123456789012:root"}, "Allow", False),
        ({"Service": "sagemaker.amazonaws.com"}, "Deny", False),
    ],
)
def test_a_role_trusts_the_services_of_its_trust_policy(
    principal: dict[str, Any], effect: str, trusted: bool
) -> None:
    statement = {"Effect": effect, "Principal": principal, "Action": "sts:AssumeRole"}
    document = {"Statement": [statement]}
    assert policies.trusts(document, "sagemaker.amazonaws.com") is trusted
