from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from sm_proxy.launch.endpoint import signatures
from sm_proxy.launch.endpoint.http_server import Request

KEYS = ReadOnlyCredentials("AKIDEXAMPLE", "a secret", None)
SESSION = ReadOnlyCredentials("ASIAEXAMPLE", "another secret", "a/session+token==")
HOST = "127.0.0.1:4711"


def signed(
    keys: ReadOnlyCredentials = KEYS,
    *,
    target: str = "/secret/",
    body: bytes = b"{}",
    headers: dict[str, str] | None = None,
) -> Request:
    """A request as botocore signs and sends it."""
    given = {"X-Amz-Target": "SageMaker.ListTags", "Content-Type": "application/x-amz-json-1.1"}
    made = AWSRequest("POST", f"http://{HOST}{target}", {**given, **(headers or {})}, body)
    SigV4Auth(keys, "sagemaker", "eu-west-1").add_auth(made)
    pairs = [(name.lower(), value) for name, value in made.headers.items()]
    return Request("POST", target, (*pairs, ("host", HOST)), body)


def with_header(request: Request, name: str, value: str) -> Request:
    others = tuple(pair for pair in request.headers if pair[0] != name)
    return replace(request, headers=(*others, (name, value)))


def is_genuine(request: Request, keys: ReadOnlyCredentials = KEYS) -> bool:
    signature = signatures.read(request)
    assert signature is not None
    return signatures.is_genuine(request, signature, keys)


def test_a_signature_tells_key_and_region() -> None:
    found = signatures.read(signed())
    assert found is not None
    assert (found.access_key, found.region, found.service) == (
        "AKIDEXAMPLE",
        "eu-west-1",
        "sagemaker",
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer token",
        "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/sagemaker/aws4_request",
        f"AWS4-ECDSA-P256-SHA256 Credential=A/20260101/x, SignedHeaders=host, Signature={'0' * 64}",
    ],
)
def test_other_proofs_of_identity_are_no_signature(value: str) -> None:
    assert signatures.read(with_header(signed(), "authorization", value)) is None


@pytest.mark.parametrize("time", ["", "now", "20200101T000000Z"], ids=["none", "a word", "old day"])
def test_a_signature_without_its_time_does_not_count(time: str) -> None:
    assert signatures.read(with_header(signed(), "x-amz-date", time)) is None


@pytest.mark.parametrize("keys", [KEYS, SESSION], ids=["static", "session"])
@pytest.mark.parametrize("target", ["/secret", "/secret/", "/secret/a%20b?x=1&y=%2F"])
def test_a_request_signed_by_botocore_is_genuine(keys: ReadOnlyCredentials, target: str) -> None:
    assert is_genuine(signed(keys, target=target, headers={"X-Amz-Meta": "a   b"}), keys)


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b'{"a": 1}'},
        {"target": "/secret/other"},
        {"target": "/secret/?x=1"},
        {"method": "PUT"},
    ],
)
def test_a_changed_request_is_not_genuine(changes: dict[str, Any]) -> None:
    assert not is_genuine(replace(signed(), **changes))


@pytest.mark.parametrize("name", ["host", "x-amz-target", "content-type"])
def test_a_changed_header_is_not_genuine(name: str) -> None:
    assert not is_genuine(with_header(signed(), name, "other"))


def test_a_target_that_is_not_signed_is_not_genuine() -> None:
    request = signed()
    without = replace(
        request, headers=tuple(pair for pair in request.headers if pair[0] != "x-amz-target")
    )
    assert not is_genuine(without)
    unsigned = AWSRequest("POST", f"http://{HOST}/secret/", {}, b"{}")
    SigV4Auth(KEYS, "sagemaker", "eu-west-1").add_auth(unsigned)
    pairs = tuple((name.lower(), value) for name, value in unsigned.headers.items())
    bare = Request("POST", "/secret/", (*pairs, ("host", HOST)), b"{}")
    assert is_genuine(bare)
    assert not is_genuine(with_header(bare, "x-amz-target", "SageMaker.DeleteModel"))


def test_another_secret_or_session_is_not_genuine() -> None:
    assert not is_genuine(signed(), ReadOnlyCredentials("AKIDEXAMPLE", "guessed", None))
    other = ReadOnlyCredentials("ASIAEXAMPLE", "another secret", "another token")
    assert not is_genuine(signed(SESSION), other)
    assert not is_genuine(signed(), ReadOnlyCredentials("AKIDEXAMPLE", "a secret", "token"))


def test_a_hash_that_does_not_fit_the_body_is_not_genuine() -> None:
    request = signed(headers={"X-Amz-Content-SHA256": "0" * 64})
    assert not is_genuine(request)


def test_the_new_signature_is_the_one_that_botocore_would_make() -> None:
    request = signed(SESSION, headers={"User-Agent": "a program", "Accept-Encoding": "identity"})
    signature = signatures.read(request)
    assert signature is not None
    made = signatures.sign_anew(request, "https://api.example.com/", signature, SESSION)
    assert made["host"] == "api.example.com"
    assert (made["user-agent"], made["accept-encoding"]) == ("a program", "identity")
    again = Request("POST", "/", tuple(made.items()), request.body)
    # Over http, the path and the host are the same as over https.
    assert is_genuine(again, SESSION)
    assert made["x-amz-date"] == request.header("x-amz-date")


def test_headers_of_the_old_connection_are_left_out() -> None:
    extra = {
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "Transfer-Encoding": "chunked",
        "Content-Length": "2",
        "Expect": "100-continue",
        "Proxy-Authorization": "Basic secret",
        "X-Kept": "1",
    }
    request = signed(headers=extra)
    signature = signatures.read(request)
    assert signature is not None
    made = signatures.sign_anew(request, "https://api.example.com/", signature, KEYS)
    assert sorted(made) == [
        "authorization",
        "content-type",
        "host",
        "x-amz-date",
        "x-amz-target",
        "x-kept",
    ]


def test_a_repeated_header_is_joined() -> None:
    request = replace(signed(), headers=(*signed().headers, ("x-a", "1"), ("x-a", "2")))
    signature = signatures.read(request)
    assert signature is not None
    made = signatures.sign_anew(request, "https://api.example.com/", signature, KEYS)
    assert made["x-a"] == "1, 2"
