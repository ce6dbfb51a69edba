"""Checks a SigV4 signature in the query of a URL, as services do for presigned requests."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote

from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.http.identity import Keys

_LONGEST_S: Final = 604_800


def check(call: Call, keys: Keys | None, payload: str | None = None) -> None:
    """Verify a signature.

    Args:
        call: the request.
        keys: the credentials with its access key; None if the key is unknown.
        payload: what stands for the body in what is signed; None for the body's SHA-256.

    Raises:
        AwsError: It is missing, expired or wrong.
    """
    given = dict(parse_qsl(call.query, keep_blank_values=True))
    if keys is None:
        message = "The security token included in the request is invalid."
        raise AwsError("UnrecognizedClientException", message, 403)
    if given.get("X-Amz-Security-Token") != keys.token:
        message = "The security token included in the request is invalid."
        raise AwsError("UnrecognizedClientException", message, 403)
    signed = given.get("X-Amz-SignedHeaders", "").split(";")
    if "host" not in signed:
        raise AwsError("IncompleteSignatureException", "'Host' must be a signed header.", 403)
    _check_time(given)
    if not hmac.compare_digest(
        _signature(call, keys.secret_key, signed, payload), given.get("X-Amz-Signature", "")
    ):
        message = (
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method."
        )
        raise AwsError("InvalidSignatureException", message, 403)


def _check_time(given: dict[str, str]) -> None:
    try:
        made = calendar.timegm(time.strptime(given.get("X-Amz-Date", ""), "%Y%m%dT%H%M%SZ"))
        lasts = int(given.get("X-Amz-Expires", ""))
    except ValueError:
        lasts = made = 0
    if not 0 < lasts <= _LONGEST_S or not -300 < time.time() - made < lasts:
        raise AwsError("InvalidSignatureException", "Signature expired.", 403)


def _signature(call: Call, secret: str, signed: list[str], payload: str | None) -> str:
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(call.query, keep_blank_values=True)
        if name != "X-Amz-Signature"
    )
    given = dict(parse_qsl(call.query))
    scope = given["X-Amz-Credential"].partition("/")[2]
    canonical = [
        call.method,
        call.path,
        "&".join(f"{name}={value}" for name, value in pairs),
        *(f"{name}:{' '.join(call.headers.get(name, '').split())}" for name in signed),
        "",
        ";".join(signed),
        payload or hashlib.sha256(call.body).hexdigest(),
    ]
    digest = hashlib.sha256("\n".join(canonical).encode("latin-1")).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{given['X-Amz-Date']}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()
