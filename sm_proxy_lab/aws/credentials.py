"""Checks that a request is signed with valid credentials."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

# These calls carry another proof of identity instead of a signature.
_UNSIGNED = {"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}
_SIGNATURE_S = 300
_EXPIRED = "The security token included in the request is expired"
_INVALID = "The security token included in the request is invalid."
_NOT_VALIDATED = "AWS was not able to validate the provided access credentials"


def check(call: Call, state: str) -> None:
    """Refuse a call whose credentials are missing, expired or unknown.

    Args:
        call: The call.
        state: `ok`, `expired` or `invalid`: the present state of all callers' credentials.

    Raises:
        AwsError: The error that the call's service answers.
    """
    if call.access_key is None:
        if call.operation not in _UNSIGNED:
            raise _unsigned(call)
    elif state == "expired":
        raise _expired(call)
    elif state == "invalid":
        raise _invalid(call)


def check_clock(call: Call, skew_s: float) -> None:
    """Refuse a call if the clocks of service and client differ by more than five minutes.

    Args:
        call: The call.
        skew_s: How far the service's clock is ahead of this machine's, in seconds.

    Raises:
        AwsError: The error that the call's service answers.
    """
    if abs(skew_s) <= _SIGNATURE_S or call.access_key is None:
        return
    signed = call.headers.get("x-amz-date", "")
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + skew_s))
    limit = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + skew_s - _SIGNATURE_S))
    message = f"Signature expired: {signed} is now earlier than {limit} ({now} - 5 min.)"
    if call.protocol == "json":
        raise AwsError("InvalidSignatureException", message)
    if call.protocol == "ec2":
        raise AwsError("AuthFailure", message, 401)
    raise AwsError("SignatureDoesNotMatch", message, 403)


def _unsigned(call: Call) -> AwsError:
    if call.headers.get("authorization"):
        message = (
            "Authorization header requires 'Credential' parameter. Authorization header requires "
            "'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. "
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
        if call.protocol in {"json", "rest-json"}:
            return AwsError("IncompleteSignatureException", message)
        return AwsError("IncompleteSignature", message)
    if call.protocol == "ec2":
        return AwsError("MissingParameter", "The request must contain the parameter AWSAccessKeyId")
    message = "Request is missing Authentication Token"
    if call.protocol in {"query", "rest-xml"}:
        return AwsError("MissingAuthenticationToken", message, 403)
    return AwsError("MissingAuthenticationTokenException", message)


def _expired(call: Call) -> AwsError:
    if call.protocol == "ec2":
        return AwsError("RequestExpired", "Request has expired.")
    if call.protocol in {"query", "rest-xml"}:
        return AwsError("ExpiredToken", _EXPIRED, 403)
    return AwsError("ExpiredTokenException", _EXPIRED)


def _invalid(call: Call) -> AwsError:
    if call.protocol == "ec2":
        return AwsError("AuthFailure", _NOT_VALIDATED, 401)
    if call.protocol in {"query", "rest-xml"}:
        return AwsError("InvalidClientTokenId", _INVALID, 403)
    return AwsError("UnrecognizedClientException", _INVALID)
