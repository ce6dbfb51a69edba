"""The parts of AWS that containers can reach: their role's credentials, and S3.

As on SageMaker, 169.254.170.2 serves the credentials at a path that only the container knows.
Another port there relays to the client's AWS endpoint, for S3. Both exist only in network
namespaces: on the host's network that address is not the lab's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import time
from dataclasses import dataclass, field

ADDRESS = "169.254.170.2"
S3_PORT = 8000
S3_ENDPOINT = f"http://{ADDRESS}:{S3_PORT}"
ACCESS_KEY = "ASIAIOSFODNN7EXAMPLE"
SECRET_KEY = "labRoleSecret/K7MDENG+bPxRfiCYEXAMPLEKEY"  # noqa: S105 - opens the lab only
TOKEN = "IQoJb3JpZ2luLab//////////wEaCXVzLWVhc3QtMSJHMEUCIQ=="  # noqa: S105
_LIFE_S = 3600
ARN = "arn:aws:iam::123456789012:role/sm-proxy-lab"


@dataclass
class RoleCredentials:
    """The endpoint that gives containers their role's credentials.

    Attributes:
        roles: path that was given to a container -> the ARN of its role; any other path is not
            found.
    """

    roles: dict[str, str] = field(default_factory=dict)
    _servers: list[asyncio.Server] = field(default_factory=list)

    async def serve(self, credentials: socket.socket, s3: socket.socket, endpoint: int) -> None:
        """Answer on two listening sockets.

        Args:
            credentials: port 80 of `ADDRESS`.
            s3: the port of S3 there.
            endpoint: the port of the client's endpoint on 127.0.0.1.
        """

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await copy_to_laptop(reader, writer, endpoint)

        self._servers.append(await asyncio.start_server(self._answer, sock=credentials))
        self._servers.append(await asyncio.start_server(relay, sock=s3))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            words = head.decode("latin-1").split(" ", 2)
            role = self.roles.get(words[1]) if words[0] == "GET" else None
            body = json.dumps(credentials_document(role) if role else {"message": "not found"})
            status = "200 OK" if role else "404 Not Found"
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
            )
            await writer.drain()
        writer.close()


def keys_of(role: str) -> dict[str, str]:
    """The credentials that containers have with a role: `access_key`, `secret_key` and `token`.

    They follow from the role's ARN, so that the processes of a lab need not tell each other.
    """
    if role == ARN:
        return {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "token": TOKEN}
    digest = hashlib.sha256(role.encode()).digest()
    letters = base64.b32encode(digest).decode()
    secret, token = (
        base64.b64encode(hashlib.sha256(word + digest).digest()) for word in (b"s", b"t")
    )
    return {
        "access_key": f"ASIA{letters[:16]}",
        "secret_key": secret.decode()[:40],
        "token": token.decode(),
    }


def credentials_document(role: str = ARN) -> dict[str, str]:
    """The endpoint's answer for a role, with the names that the SDKs read."""
    keys = keys_of(role)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + _LIFE_S))
    return {
        "RoleArn": role,
        "AccessKeyId": keys["access_key"],
        "SecretAccessKey": keys["secret_key"],
        "Token": keys["token"],
        "Expiration": until,
    }


async def copy_to_laptop(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int
) -> None:
    """Connect to 127.0.0.1 of the laptop, and copy both ways until both sides have ended."""
    try:
        there, back = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
