"""The endpoint of the role's credentials, and S3's look at signatures."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sm_proxy_lab.aws import s3
from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.http.request import parse
from sm_proxy_lab.machines import role_credentials


async def _ask(path: str) -> bytes:
    here, there = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    given = role_credentials.Role(paths={"/v2/credentials/known"})
    await given.serve(here, there, 1)
    reader, writer = await asyncio.open_connection(*here.getsockname())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    for server in given._servers:
        server.close()
    return answer


def test_only_a_path_that_was_handed_out_is_answered() -> None:
    known = asyncio.run(_ask("/v2/credentials/known"))
    assert role_credentials.SECRET_KEY.encode() in known
    unknown = asyncio.run(_ask("/v2/credentials/guessed"))
    assert unknown.startswith(b"HTTP/1.1 404")
    assert role_credentials.SECRET_KEY.encode() not in unknown


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/b?list-type=2", "s3:ListBucket"),
        ("GET", "/b/k", "s3:GetObject"),
        ("PUT", "/b/k", "s3:PutObject"),
        ("PUT", "/b", "s3:CreateBucket"),
        ("GET", "/", "s3:GET /"),
    ],
)
def test_actions(method: str, path: str, action: str) -> None:
    assert parse(method, path, {}, b"").action == action


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-security-token": "other"}, "InvalidToken"),
        ({"x-amz-security-token": role_credentials.TOKEN}, "AccessDenied"),  # there, but not signed
    ],
)
def test_a_signature_that_leaves_something_out(headers: dict[str, str], code: str) -> None:
    signed = "host;x-amz-date"
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={role_credentials.ACCESS_KEY}/20260101/us-east-1/s3/"
        "aws4_request, "
        f"SignedHeaders={signed}, Signature={'0' * 64}"
    )
    call = parse("GET", "/b/k", {"authorization": authorization, "host": "h", **headers}, b"")
    with pytest.raises(AwsError) as refused:
        s3.check(call)
    assert refused.value.code == code
