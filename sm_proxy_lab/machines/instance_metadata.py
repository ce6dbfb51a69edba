"""The instance metadata service of EC2, version 2 only, for one instance.

A token is needed for every value, as on instances that AWS launches today.
Source: the EC2 user guide, "Use the Instance Metadata Service", and its list of categories.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

ADDRESS: Final = "169.254.169.254"
TOKEN_PATH: Final = "/latest/api/token"  # noqa: S105 - a path
_TTL: Final = "x-aws-ec2-metadata-token-ttl-seconds"
_TOKEN: Final = "x-aws-ec2-metadata-token"  # noqa: S105 - a header's name
_MAX_TTL_S: Final = 21600
_MAX_REQUESTS: Final = 1000  # of one connection


@dataclass
class InstanceMetadata:
    """Answers for one instance.

    Attributes:
        values: path below `/latest/` -> content.
        address: the instance's address; other clients get no answer. None admits every client.
    """

    values: Mapping[str, str]
    address: str | None = None
    _tokens: dict[str, float] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(
            OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            if self.address in {None, writer.get_extra_info("peername")[0]}:
                for _ in range(_MAX_REQUESTS):
                    if await self._one(reader, writer) == "close":
                        break
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Answer one request; return its Connection header."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        lines = [line.partition(":") for line in head[1:] if line]
        headers = {name.strip().lower(): value.strip() for name, _, value in lines}
        await reader.readexactly(int(headers.get("content-length", "0")))
        status, text, more = self._answer(method, path.partition("?")[0], headers)
        body = text.encode()
        reason = http.HTTPStatus(status).phrase
        kept = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        writer.write(
            f"HTTP/1.1 {status} {reason}\r\nServer: EC2ws\r\nContent-Type: text/plain\r\n"
            f"Content-Length: {len(body)}\r\n{kept}\r\n".encode()
            + body
        )
        await writer.drain()
        return headers.get("connection", "").lower()

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> tuple[int, str, dict[str, str]]:
        """Return status, body and further headers."""
        if method == "PUT" and path == TOKEN_PATH:
            return self._new_token(headers)
        if method != "GET":
            return 405, "", {}
        if self._tokens.get(headers.get(_TOKEN, ""), 0.0) < time.monotonic():
            return 401, "", {}
        content = self._read(path.removeprefix("/latest/"))
        return (404, "", {}) if content is None else (200, content, {})

    def _new_token(self, headers: Mapping[str, str]) -> tuple[int, str, dict[str, str]]:
        ttl = headers.get(_TTL, "")
        if "x-forwarded-for" in headers:  # a proxy would give the token to anybody
            return 403, "", {}
        if not ttl.isdecimal() or not 1 <= int(ttl) <= _MAX_TTL_S:
            return 400, "", {}
        token = secrets.token_urlsafe(40)
        self._tokens[token] = time.monotonic() + int(ttl)
        return 200, token, {_TTL: ttl}

    def _read(self, path: str) -> str | None:
        """Return a value, or the list of what is below a path."""
        if path in self.values:
            return self.values[path]
        folder = path.rstrip("/") + "/"
        below = [name.removeprefix(folder) for name in self.values if name.startswith(folder)]
        names = {first + slash for first, slash, _ in (name.partition("/") for name in below)}
        return "\n".join(sorted(names)) if names else None
