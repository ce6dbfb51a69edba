"""Checks the signatures of S3 requests: moto does not."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from sm_proxy_lab.aws.http import query_signature
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.http.identity import Keys

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/(\d{8})/[^,]+,\s*"
    r"SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)
_PRESIGNED = "X-Amz-Signature="
_UNSIGNED = ("UNSIGNED-PAYLOAD", "STREAMING-")

_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your key and signing method."
)


def check(call: Call, keys: Keys | None) -> None:
    """Verify a request's signature as S3 does.

    Args:
        call: the request.
        keys: the credentials with its access key; None if the key is unknown.

    Raises:
        AwsError: The error that S3 answers.
    """
    found = _AUTHORIZATION.search(call.headers.get("authorization", ""))
    if not found:
        if _PRESIGNED in call.query:
            _check_presigned(call, keys)
        return
    if keys is None:
        message = "The AWS Access Key Id you provided does not exist in our records."
        raise AwsError("InvalidAccessKeyId", message, 403)
    if call.headers.get("x-amz-security-token") != keys.token:
        raise AwsError("InvalidToken", "The provided token is malformed or otherwise invalid.")
    day, names, signature = found.groups()
    signed = names.split(";")
    unsigned = {name for name in call.headers if name.startswith("x-amz-")} - set(signed)
    if unsigned or "host" not in signed:
        message = "There were headers present in the request which were not signed"
        raise AwsError("AccessDenied", message, 403)
    payload = call.headers.get("x-amz-content-sha256", "")
    if not payload:
        message = "Missing required header for this request: x-amz-content-sha256"
        raise AwsError("InvalidRequest", message)
    if not payload.startswith(_UNSIGNED) and payload != hashlib.sha256(call.body).hexdigest():
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        raise AwsError("XAmzContentSHA256Mismatch", message)
    if not hmac.compare_digest(_signature(call, keys.secret_key, day, signed), signature):
        raise AwsError("SignatureDoesNotMatch", _MISMATCH, 403)


def _check_presigned(call: Call, keys: Keys | None) -> None:
    """Verify a presigned URL; its maker did not know the content."""
    try:
        query_signature.check(call, keys, _UNSIGNED[0])
    except AwsError as error:
        if error.code == "UnrecognizedClientException":
            message = "The AWS Access Key Id you provided does not exist in our records."
            raise AwsError("InvalidAccessKeyId", message, 403) from None
        if "expired" in str(error):
            raise AwsError("AccessDenied", "Request has expired", 403) from None
        raise AwsError("SignatureDoesNotMatch", _MISMATCH, 403) from None


def _signature(call: Call, secret: str, day: str, signed: list[str]) -> str:
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(call.query, keep_blank_values=True)
    )
    canonical = [
        call.method,
        call.path,
        "&".join(f"{name}={value}" for name, value in pairs),
        *(f"{name}:{' '.join(call.headers.get(name, '').split())}" for name in signed),
        "",
        ";".join(signed),
        call.headers["x-amz-content-sha256"],
    ]
    digest = hashlib.sha256("\n".join(canonical).encode("latin-1")).hexdigest()
    scope = f"{day}/{call.region}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{call.headers.get('x-amz-date', '')}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (day, call.region, "s3", "aws4_request", to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()
