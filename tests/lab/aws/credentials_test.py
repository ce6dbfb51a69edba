"""Expired and unknown credentials, in the form of each protocol."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.aws.harness import Lab, refusal


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
def test_expired_and_unknown_credentials_are_refused(
    lab: Lab, service: str, operation: str, expired: tuple[Any, ...], invalid: tuple[Any, ...]
) -> None:
    call = getattr(lab.client(service), operation)
    lab.control.faults(credentials="expired")
    assert refusal(call) == expired
    lab.control.faults(credentials="invalid")
    assert refusal(call) == invalid
    lab.control.faults(credentials="ok")
    call()
