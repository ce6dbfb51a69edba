"""Throttling and failures, in each protocol's format."""

from __future__ import annotations

from tests.lab.aws.harness import DESCRIBE, Lab, refusal


def test_throttling_ends_after_its_count(lab: Lab) -> None:
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


def test_failures_are_internal_errors(lab: Lab) -> None:
    lab.control.faults(fail={"sagemaker:DescribeTrainingJob": 2})
    describe = lab.client("sagemaker").describe_training_job
    failures = [refusal(describe, **DESCRIBE) for _ in range(2)]
    assert {(code, status) for code, _, status in failures} == {
        ("InternalFailure", 500),
        ("InternalFailure", 503),
    }
