"""Denials, throttling, failures and credentials, in each protocol's words."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy_lab.aws.control_client import ControlError
from tests.lab.aws.harness import Lab, refusal

WHO = "User: arn:aws:sts::123456789012:assumed-role/LabRole/lab is not authorized to perform: "
DESCRIBE = {"TrainingJobName": "Some-Job"}


@pytest.mark.parametrize("pattern", ["sagemaker:DescribeTrainingJob", "SageMaker:*", "*"])
def test_denied_by_a_json_service(lab: Lab, pattern: str) -> None:
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


def test_denied_resources(lab: Lab) -> None:
    lab.control.faults(deny=["logs:*", "ssm:*"])
    _, words, _ = refusal(
        lab.client("logs").get_log_events, logGroupName="/a", logStreamName="job/algo-1-5"
    )
    assert "arn:aws:logs:us-east-1:123456789012:log-group:/a:log-stream:job/algo-1-5" in words
    _, words, _ = refusal(lab.client("ssm").start_session, Target="i-0123")
    assert " on resource: arn:aws:ec2:us-east-1:123456789012:instance/i-0123 because" in words


def test_denied_by_ec2_and_others_pass(lab: Lab) -> None:
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


def test_throttling_wears_off(lab: Lab) -> None:
    lab.control.faults(throttle={"sagemaker:DescribeTrainingJob": 2, "ec2:*": 1})
    describe = lab.client("sagemaker").describe_training_job
    for _ in range(2):
        assert refusal(describe, **DESCRIBE) == ("ThrottlingException", "Rate exceeded", 400)
    assert refusal(describe, **DESCRIBE)[0] == "ValidationException"
    assert refusal(lab.client("ec2").describe_vpcs) == (
        "RequestLimitExceeded",
        "Request limit exceeded.",
        503,
    )
    assert lab.control.faults()["throttle"] == {"sagemaker:DescribeTrainingJob": 0, "ec2:*": 0}


def test_failures(lab: Lab) -> None:
    lab.control.faults(fail={"sagemaker:DescribeTrainingJob": 2})
    describe = lab.client("sagemaker").describe_training_job
    failures = [refusal(describe, **DESCRIBE) for _ in range(2)]
    assert {(code, status) for code, _, status in failures} == {
        ("InternalFailure", 500),
        ("InternalFailure", 503),
    }


@pytest.mark.parametrize(
    ("service", "operation", "expired", "invalid"),
    [
        (
            "sagemaker",
            "list_training_jobs",
            ("ExpiredTokenException", "The security token included in the request is expired", 400),
            (
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
                400,
            ),
        ),
        (
            "ec2",
            "describe_vpcs",
            ("RequestExpired", "Request has expired.", 400),
            (
                "AuthFailure",
                "AWS was not able to validate the provided access credentials",
                401,
            ),
        ),
        (
            "sts",
            "get_caller_identity",
            ("ExpiredToken", "The security token included in the request is expired", 403),
            (
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
                403,
            ),
        ),
    ],
)
def test_credentials(
    lab: Lab, service: str, operation: str, expired: tuple[Any, ...], invalid: tuple[Any, ...]
) -> None:
    call = getattr(lab.client(service), operation)
    lab.control.faults(credentials="expired")
    assert refusal(call) == expired
    lab.control.faults(credentials="invalid")
    assert refusal(call) == invalid
    lab.control.faults(credentials="ok")
    call()


def test_the_document(lab: Lab) -> None:
    document = lab.control.replace_faults({"deny": ["ssm:*"]})
    assert lab.control.faults(log_delay_ms=5)["deny"] == ["ssm:*"]
    assert lab.control.replace_faults({"log_delay_ms": 1})["deny"] == []
    lab.control.clear_faults()
    assert lab.control.faults() == document | {"deny": []}
    for wrong in ({"colour": 1}, {"credentials": "maybe"}, {"throttle": {"x": 1}}, {"deny": "x"}):
        with pytest.raises(ControlError):
            lab.control.replace_faults(wrong)


def test_the_gateways_faults_are_passed_on(lab: Lab) -> None:
    lab.control.faults(gateway={"drop": 0.1})
    assert lab.gateway.asked == [{"op": "faults", "faults": {"drop": 0.1}}]
    lab.control.clear_faults()
    assert lab.gateway.asked[1:] == [{"op": "faults", "faults": {}}]
    with pytest.raises(ControlError, match="colour"):
        lab.control.faults(gateway={"colour": 1}, deny=["ssm:*"])
    assert lab.control.faults()["deny"] == []
