"""The instance metadata of EC2, version 2: in which VPCs this machine's network interfaces are.

Its token may not leave the instance (hop limit 1), so a container on the instance gets no answer.
Each step may take 50 ms: on an instance it takes one or two.
"""

from __future__ import annotations

import http.client
import re
from typing import Final
from urllib.parse import urlsplit

from sm_proxy.local import debug_log

_STEP_S: Final = 0.05
_LIMIT: Final = 1 << 12
_SESSION: Final = "/latest/api/token"
_TTL: Final = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
_INTERFACES: Final = "/latest/meta-data/network/interfaces/macs/"
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_VPC: Final = re.compile(r"vpc-[0-9a-z]+")
_MOST_INTERFACES: Final = 50
"""More than any instance type has."""


def own_vpcs(endpoint: str) -> frozenset[str]:
    """The ids of the VPCs of this machine's interfaces; empty if the metadata does not answer.

    Args:
        endpoint: its URL, such as `http://169.254.169.254`; no proxy is used for it.
    """
    try:
        return frozenset(_read(endpoint))
    except (OSError, ValueError, http.client.HTTPException) as error:
        debug_log.write("no instance metadata", why=error)
        return frozenset()


def _read(endpoint: str) -> list[str]:
    """Ask for the token, the interfaces and their VPCs, in one connection.

    Raises:
        OSError: no answer in time, or no connection.
        ValueError: the endpoint is not a URL, or the answer is not what EC2 gives.
        HTTPException: the answer is not HTTP.
    """
    parts = urlsplit(endpoint)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_STEP_S)
    base = parts.path.rstrip("/")
    try:
        token = _answer(connection, "PUT", base + _SESSION, _TTL)
        signed = {"X-aws-ec2-metadata-token": token}
        macs = _answer(connection, "GET", base + _INTERFACES, signed).split()
        found = []
        for mac in macs[:_MOST_INTERFACES]:
            if _MAC.fullmatch(mac.rstrip("/")):
                path = f"{base}{_INTERFACES}{mac.rstrip('/')}/vpc-id"
                found.append(_answer(connection, "GET", path, signed))
        return [name for name in found if _VPC.fullmatch(name)]
    finally:
        connection.close()


def _answer(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]
) -> str:
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read(_LIMIT)
    if response.status != 200 or response.read(1):
        raise ValueError(f"{method} {path} gives status {response.status}")
    return body.decode("ascii").strip()
