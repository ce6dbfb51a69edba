"""Signature Version 4 of requests to the endpoint: read it, check it, make a new one.

A client signs the host and the path, so its signature is not valid for the service behind us.
Checking it first keeps others out: an access key id is no secret, and the endpoint's URL may stand
in a log.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import ReadOnlyCredentials

from sm_proxy.launch.endpoint.http_server import Request

_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/\s,]+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)"
    r"/(?P<service>[a-z0-9-]+)/aws4_request,?\s*"
    r"SignedHeaders=(?P<signed>[a-z0-9;_-]+),?\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_SIGNED: Final = frozenset({"content-type", "host"})
_NEEDED: Final = frozenset({"host", "x-amz-date", "x-amz-target"})
"""A signature that does not cover these could be used for another request."""
_TIMESTAMP: Final = re.compile(r"\d{8}T\d{6}Z")
_CONTENT: Final = "x-amz-content-sha256"
_REPLACED: Final = frozenset(
    {"authorization", "content-length", "expect", "host", "x-amz-security-token", _CONTENT}
)
HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"}
    | {"te", "trailer", "transfer-encoding", "upgrade"}
)
"""RFC 9110 7.6.1: headers for one connection, not for the one behind it."""


@dataclass(frozen=True)
class Signature:
    """The parts of a request's signature.

    Attributes:
        access_key: the id of the key that it was made with.
        region: that the request is for.
        service: the signing name.
        time: `20261128T235900Z`, by the client's clock, which it may have corrected.
        signed: the names of the headers that it covers, in lower case.
        value: in hexadecimal.
    """

    access_key: str
    region: str
    service: str
    time: str
    signed: tuple[str, ...]
    value: str

    @property
    def scope(self) -> str:
        """The scope of the key that signs."""
        return f"{self.time[:8]}/{self.region}/{self.service}/aws4_request"


def read(request: Request) -> Signature | None:
    """The signature in a request's headers; None if it has none, or one of another kind."""
    found = _AUTHORIZATION.fullmatch(request.header("authorization"))
    time = request.header("x-amz-date")
    if not found or not _TIMESTAMP.fullmatch(time) or not time.startswith(found["day"]):
        return None
    signed = tuple(found["signed"].split(";"))
    return Signature(
        found["key"], found["region"], found["service"], time, signed, found["signature"]
    )


def is_genuine(request: Request, signature: Signature, keys: ReadOnlyCredentials) -> bool:
    """Whether the signature was made with these keys, for this very request."""
    content = request.header(_CONTENT)
    if content and content != hashlib.sha256(request.body).hexdigest():
        return False
    if request.header("x-amz-security-token") != (keys.token or ""):
        return False
    present = {name for name in _NEEDED if request.header(name)}
    if not present <= set(signature.signed):
        return False
    url = f"http://{request.header('host')}{request.target}"
    made = _sign(request, url, request.headers, signature, keys)
    return hmac.compare_digest(made, signature.value)


def sign_anew(
    request: Request, url: str, signature: Signature, keys: ReadOnlyCredentials
) -> dict[str, str]:
    """The headers of the same request to `url`, with a signature that is valid there.

    It has the client's region, service and time. Headers for one connection are left out.
    """
    named = {item.strip() for item in request.header("connection").lower().split(",")}
    left_out = _REPLACED | HOP_BY_HOP | named
    headers: dict[str, str] = {}
    for name, value in request.headers:
        if name not in left_out:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    headers["host"] = urlsplit(url).netloc
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    # Proxies may change other headers.
    covered = sorted(name for name in headers if name in _SIGNED or name.startswith("x-amz-"))
    ours = replace(signature, access_key=str(keys.access_key), signed=tuple(covered))
    made = _sign(request, url, headers.items(), ours, keys)
    return headers | {
        "authorization": f"AWS4-HMAC-SHA256 Credential={ours.access_key}/{ours.scope}, "
        f"SignedHeaders={';'.join(covered)}, Signature={made}"
    }


class _Signer(SigV4Auth):
    """botocore's signer, for the headers that a signature names."""

    def __init__(self, keys: ReadOnlyCredentials, signature: Signature) -> None:
        super().__init__(keys, signature.service, signature.region)
        self._signed = signature.signed

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        """The covered headers; a name that the request lacks counts as an empty one."""
        pairs = [(name.lower(), value) for name, value in request.headers.items()]
        present = {name for name, _ in pairs}
        pairs += [(name, "") for name in self._signed if name not in present]
        return _as_message(pair for pair in pairs if pair[0] in self._signed)


def _sign(
    request: Request,
    url: str,
    headers: Iterable[tuple[str, str]],
    signature: Signature,
    keys: ReadOnlyCredentials,
) -> str:
    """The signature of that request to `url` with `headers`, in hexadecimal."""
    signer = _Signer(keys, signature)
    signed = AWSRequest(request.method, url, data=request.body)
    signed.headers = _as_message(headers)
    signed.context["timestamp"] = signature.time
    to_sign = signer.string_to_sign(signed, signer.canonical_request(signed))
    return str(signer.signature(to_sign, signed))


def _as_message(headers: Iterable[tuple[str, str]]) -> HTTPHeaders:
    message = HTTPHeaders()
    for name, value in headers:
        message[name] = value
    return message
