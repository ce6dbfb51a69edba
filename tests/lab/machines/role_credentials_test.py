"""The endpoint for the role's credentials."""

from __future__ import annotations

import asyncio
import json
import socket

from sm_proxy_lab.machines import role_credentials

OTHER = "arn:aws:iam::123456789012:role/other"


async def _ask(path: str) -> bytes:
    here, there = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    given = role_credentials.RoleCredentials(
        roles={"/v2/credentials/known": role_credentials.ARN, "/v2/credentials/other": OTHER}
    )
    await given.serve(here, there, 1)
    reader, writer = await asyncio.open_connection(*here.getsockname())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    for server in given._servers:
        server.close()
    return answer


def test_only_issued_paths_are_answered() -> None:
    known = asyncio.run(_ask("/v2/credentials/known"))
    assert role_credentials.SECRET_KEY.encode() in known
    unknown = asyncio.run(_ask("/v2/credentials/guessed"))
    assert unknown.startswith(b"HTTP/1.1 404")
    assert role_credentials.SECRET_KEY.encode() not in unknown


def test_each_role_has_keys_of_its_own() -> None:
    answer = asyncio.run(_ask("/v2/credentials/other"))
    document = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert document["RoleArn"] == OTHER
    keys = role_credentials.keys_of(OTHER)
    assert document["AccessKeyId"] == keys["access_key"] != role_credentials.ACCESS_KEY
    assert keys["secret_key"] != keys["token"] != role_credentials.TOKEN
