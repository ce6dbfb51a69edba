"""Denials, in the form of each protocol."""

from __future__ import annotations

import pytest

from sm_proxy.aws import denials
from tests.lab.aws.harness import DESCRIBE, Lab, refusal

WHO = "User: arn:aws:sts::123456789012:assumed-role/LabRole/lab is not authorized to perform: "


@pytest.mark.parametrize("pattern", ["sagemaker:DescribeTrainingJob", "SageMaker:*", "*"])
def test_a_denial_of_a_json_service_names_action_and_resource(lab: Lab, pattern: str) -> None:
    lab.control.faults(deny=[pattern])
    assert refusal(lab.client("sagemaker").describe_training_job, **DESCRIBE) == (
        "AccessDeniedException",
        (
            f"{WHO}sagemaker:DescribeTrainingJob on resource: "
            "arn:aws:sagemaker:us-east-1:123456789012:training-job/some-job because no "
            "identity-based policy allows the sagemaker:DescribeTrainingJob action"
        ),
        400,
    )


def test_a_denial_names_the_arn_of_the_resource(lab: Lab) -> None:
    lab.control.faults(deny=["logs:*", "ssm:*"])
    _, words, _ = refusal(
        lab.client("logs").get_log_events, logGroupName="/a", logStreamName="job/algo-1-5"
    )
    assert "arn:aws:logs:us-east-1:123456789012:log-group:/a:log-stream:job/algo-1-5" in words
    _, words, _ = refusal(lab.client("ssm").start_session, Target="i-0123")
    assert " on resource: arn:aws:ec2:us-east-1:123456789012:instance/i-0123 because" in words


def test_ec2_denies_one_action_and_allows_others(lab: Lab) -> None:
    lab.control.faults(deny=["ec2:DescribeSubnets", "sts:GetCallerIdentity"])
    ec2 = lab.client("ec2")
    assert refusal(ec2.describe_subnets) == (
        "UnauthorizedOperation",
        (
            f"You are not authorized to perform this operation. {WHO}ec2:DescribeSubnets because "
            "no identity-based policy allows the ec2:DescribeSubnets action"
        ),
        403,
    )
    ec2.describe_vpcs()
    lab.client("sts").get_caller_identity()  # cannot be denied


@pytest.mark.parametrize(
    ("policy", "named"),
    [
        ("identity-based policy: Deny", "lift the Deny of logs:GetLogEvents"),
        ("permissions boundary", "permissions boundary"),
        ("permissions boundary: Deny", "permissions boundary"),
        ("session policy", "session"),
        ("session policy: Deny", "session"),
        ("service control policy", "service control policy (SCP)"),
        ("service control policy: Deny", "service control policy (SCP)"),
        ("resource control policy", "resource control policy (RCP)"),
        ("resource control policy: Deny", "resource control policy (RCP)"),
        ("VPC endpoint policy", "VPC endpoint"),
        ("VPC endpoint policy: Deny", "VPC endpoint"),
        ("resource-based policy", "The resource has its own policy"),
        ("resource-based policy: Deny", "The resource has its own policy"),
        ("KMS key", "kms:Decrypt"),
        ("KMS key: Deny", "kms:Decrypt"),
    ],
)
def test_the_advice_of_the_client_fixes_the_denial(
    lab: Lab, stream: dict[str, str], policy: str, named: str
) -> None:
    read = lab.client("logs").get_log_events
    lab.control.faults(policies={policy: ["logs:GetLogEvents"]})
    _, words, _ = refusal(read, **stream)
    hint = denials.remedy(words, "logs:GetLogEvents")
    assert named in hint
    lifted = policy.endswith("Deny")
    assert ("Deny" in hint) is lifted
    # An Allow in the IAM policy of the credentials does not help.
    lab.control.faults(deny=[])
    assert refusal(read, **stream)[1] == words
    lab.control.faults(policies={policy: []})
    read(**stream)
