"""The container's marker: the one log line that says how to reach it.

    {"sm_proxy_marker": 1, "node": "algo-1", "addresses": [{"name", "address", "prefix"}],
     "port": 22, "user": "root", "host_keys": ["ssh-ed25519 AAAA..."], "features": [],
     "problems": []}

Log lines are written by whoever runs code in the job, so nothing in them is believed before its
shape is checked, and what is kept is bounded and printable.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.errors import printable
from sm_proxy.public_key import is_public_key

LINE_LIMIT: Final = 8192
VERSION: Final = 1
_KEY_WORD: Final = '"sm_proxy_marker"'
_BRACES_LIMIT: Final = 64
_WORK_LIMIT: Final = 4 * LINE_LIMIT
"""So many characters of a line are read again for want of an object, whatever its braces say."""
_ADDRESSES_LIMIT: Final = 32
_KEYS_LIMIT: Final = 8
_PROBLEMS_LIMIT: Final = 8
PROBLEM_LIMIT: Final = 200
_USER: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,31}")
_NODE: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,62}")


@dataclass(frozen=True)
class Marker:
    """How a container says it can be reached.

    Attributes:
        node: `algo-1`.
        addresses: IP addresses, in the container's order of preference.
        port: the SSH server's port; 0 when it has none.
        user: the user it serves.
        host_keys: each `"type base64"`.
        problems: why something is missing, in the container's words.
    """

    node: str
    addresses: tuple[str, ...]
    port: int
    user: str
    host_keys: tuple[str, ...]
    problems: tuple[str, ...] = ()


def parse(line: str) -> Marker | None:
    """The marker in a log line, or None; a launcher may have put something before it."""
    if len(line) > LINE_LIMIT or _KEY_WORD not in line:
        return None
    for document in _objects(line):
        if (found := _read(document)) is not None:
            return found
    return None


def _objects(line: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that begin somewhere in the line; what they hold is not looked into."""
    decoder = json.JSONDecoder()
    start = line.find("{")
    work = 0
    for _ in range(_BRACES_LIMIT):
        if start < 0 or work > _WORK_LIMIT:
            return
        end = start + 1
        try:
            document, end = decoder.raw_decode(line, start)
            yield document
        except json.JSONDecodeError as error:
            work += error.pos - start
        except (ValueError, RecursionError):
            work += len(line) - start
        start = line.find("{", end)


def _read(document: dict[str, Any]) -> Marker | None:
    node, port, user = (document.get(name) for name in ("node", "port", "user"))
    version = document.get("sm_proxy_marker")
    if any(type(number) is not int for number in (version, port)):  # True is none, though Python's
        return None
    if version != VERSION or not isinstance(port, int):
        return None
    if not isinstance(node, str) or not _NODE.fullmatch(node):
        return None
    if not isinstance(user, str) or not _USER.fullmatch(user) or not 0 <= port < 1 << 16:
        return None
    return Marker(
        node,
        tuple(_addresses(document.get("addresses"))),
        port,
        user,
        tuple(_host_keys(document.get("host_keys"))),
        tuple(_problems(document.get("problems"))),
    )


def _addresses(value: object) -> list[str]:
    found: list[str] = []
    for item in _items(value)[:_ADDRESSES_LIMIT]:
        text = item.get("address") if isinstance(item, dict) else None
        # Behind a `%` ipaddress takes any text as the zone, and no zone of theirs is one of ours.
        if not isinstance(text, str) or "%" in text:
            continue
        with contextlib.suppress(ValueError):
            found.append(str(ipaddress.ip_address(text)))
    return found


def _problems(value: object) -> list[str]:
    words = [item for item in _items(value)[:_PROBLEMS_LIMIT] if isinstance(item, str)]
    return [printable(item[:PROBLEM_LIMIT], PROBLEM_LIMIT) for item in words]


def _host_keys(value: object) -> list[str]:
    keys = [item for item in _items(value)[:_KEYS_LIMIT] if isinstance(item, str)]
    return [key for key in keys if is_public_key(key)]


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
