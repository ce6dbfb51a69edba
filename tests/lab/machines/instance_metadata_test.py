"""The instance metadata service."""

from __future__ import annotations

import asyncio
import socket

from sm_proxy_lab.machines.instance_metadata import InstanceMetadata

_VALUES = {
    "meta-data/instance-id": "i-0123",
    "meta-data/network/interfaces/macs/02:00:00:00:00:01/vpc-id": "vpc-1",
}
_TOKEN = "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n"


async def _talk(service: InstanceMetadata, *requests: str) -> list[tuple[int, str]]:
    """Send requests on one connection, with `{}` for the last body; return the answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.start_server(service.serve, sock=listener)
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    answers, body = [], ""
    for request in requests:
        writer.write(request.replace("{}", body).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        text = (await reader.readexactly(length)).decode()
        body = text or body
        answers.append((int(head.split()[1]), text))
    await _end(writer, server)
    return answers


async def _end(writer: asyncio.StreamWriter, server: asyncio.Server) -> None:
    writer.close()
    server.close()
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


def _get(path: str, more: str = "X-aws-ec2-metadata-token: {}\r\n") -> str:
    return f"GET /latest/meta-data/{path} HTTP/1.1\r\n{more}\r\n"


def test_values_need_a_token() -> None:
    service = InstanceMetadata(_VALUES)
    answers = asyncio.run(_talk(service, _get("instance-id", ""), _TOKEN, _get("instance-id")))
    assert [status for status, _ in answers] == [401, 200, 200]
    assert answers[-1][1] == "i-0123"


def test_a_folder_lists_what_it_has_and_a_wrong_path_is_not_found() -> None:
    service = InstanceMetadata(_VALUES)

    async def ask(path: str) -> tuple[int, str]:
        return (await _talk(service, _TOKEN, _get(path)))[1]

    assert asyncio.run(ask("network/interfaces/macs/")) == (200, "02:00:00:00:00:01/")
    assert asyncio.run(ask("")) == (200, "instance-id\nnetwork/")
    assert asyncio.run(ask("network/interfaces/mac"))[0] == 404


def test_a_token_is_refused_through_a_proxy_or_without_a_ttl() -> None:
    forwarded = _TOKEN.replace("\r\n\r\n", "\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n")
    plain = "PUT /latest/api/token HTTP/1.1\r\n\r\n"
    answers = asyncio.run(_talk(InstanceMetadata(_VALUES), forwarded, plain))
    assert [status for status, _ in answers] == [403, 400]


def test_another_machine_gets_no_answer() -> None:
    async def ask() -> bytes:
        listener = socket.create_server(("127.0.0.1", 0))
        service = InstanceMetadata(_VALUES, "10.0.144.9")
        server = await asyncio.start_server(service.serve, sock=listener)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        answer = await reader.read()
        await _end(writer, server)
        return answer

    assert asyncio.run(ask()) == b""
