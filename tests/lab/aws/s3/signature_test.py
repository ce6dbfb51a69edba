"""S3's check of signatures."""

from __future__ import annotations

import pytest

from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.http.request import parse
from sm_proxy_lab.aws.iam.principals import Principals
from sm_proxy_lab.aws.s3 import signature
from sm_proxy_lab.machines import role_credentials


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-security-token": "other"}, "InvalidToken"),
        ({"x-amz-security-token": role_credentials.TOKEN}, "AccessDenied"),  # not signed
    ],
)
def test_an_incomplete_signature_is_refused(headers: dict[str, str], code: str) -> None:
    signed = "host;x-amz-date"
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={role_credentials.ACCESS_KEY}/20260101/us-east-1/s3/"
        "aws4_request, "
        f"SignedHeaders={signed}, Signature={'0' * 64}"
    )
    call = parse("GET", "/b/k", {"authorization": authorization, "host": "h", **headers}, b"")
    with pytest.raises(AwsError) as refused:
        signature.check(call, Principals().keys(call))
    assert refused.value.code == code
