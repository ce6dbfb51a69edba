"""The container's marker: a log line that tells how to reach it.

    {"sm_proxy_marker": 1, "node": "algo-1", "addresses": [{"name", "address", "prefix"}],
     "port": 22, "user": "root", "host_keys": ["ssh-ed25519 AAAA..."], "features": [],
     "problems": []}

People who run code in the job can write any log line. So we check the form of each value, and limit
its length and its characters.
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
"""Characters of the marker itself; a launcher's prefix may make the line longer."""
VERSION: Final = 1
_KEY_WORD: Final = '"sm_proxy_marker"'
_TORN_LIMIT: Final = 256
_WORK_LIMIT: Final = 4 * LINE_LIMIT
"""Limit for the characters of one line that are parsed without finding JSON."""
_MASKED_NUMBER: Final = re.compile(r"(?<=: )\*+(?=[,}])|(?<=:)\*+(?=[,}])")
_ADDRESSES_LIMIT: Final = 32
_KEYS_LIMIT: Final = 8
_PROBLEMS_LIMIT: Final = 8
PROBLEM_LIMIT: Final = 200
_USER: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,31}")
_NODE: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,62}")


@dataclass(frozen=True)
class Marker:
    """How to reach a container, in its own words.

    Attributes:
        node: `algo-1`.
        addresses: IP addresses, in the container's order of preference.
        port: the SSH server's port; 0 if there is no server.
        user: the user who can log in.
        host_keys: each `"type base64"`.
        problems: why something is missing, in the container's words.
        masked: whether a data protection policy of CloudWatch Logs has replaced values with
            asterisks; these values are empty here, and the port is 0.
    """

    node: str
    addresses: tuple[str, ...]
    port: int
    user: str
    host_keys: tuple[str, ...]
    problems: tuple[str, ...] = ()
    masked: bool = False


def parse(line: str) -> Marker | None:
    """The marker in a log line, or None; a launcher may have added text around it."""
    if _KEY_WORD not in line:
        return None
    found = next(filter(None, map(_read, _objects(line))), None)
    if found is None and "*" in line:
        # Asterisks in place of a number are not JSON: quote them.
        quoted = _MASKED_NUMBER.sub('"*"', line)
        found = next(filter(None, map(_read, _objects(quoted))), None)
    return found


def _objects(line: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in the line."""
    decoder = json.JSONDecoder()
    start = line.find("{")
    work = torn = 0
    while start >= 0 and work <= _WORK_LIMIT and torn < _TORN_LIMIT:
        end = start + 1
        try:
            document, end = decoder.raw_decode(line, start)
        except json.JSONDecodeError as error:
            work += error.pos - start
            torn += 1
        except (ValueError, RecursionError):
            work += len(line) - start
        else:
            if end - start <= LINE_LIMIT:
                yield document
        start = line.find("{", end)


def _read(document: dict[str, Any]) -> Marker | None:
    if type(document.get("sm_proxy_marker")) is not int or document["sm_proxy_marker"] != VERSION:
        return None  # Python takes True for 1
    node, port, user = (document.get(name) for name in ("node", "port", "user"))
    masked = [name for name in ("node", "port", "user") if _is_masked(document.get(name))]
    if "node" not in masked and not (isinstance(node, str) and _NODE.fullmatch(node)):
        return None
    if "port" not in masked and not (type(port) is int and 0 <= port < 1 << 16):
        return None
    if "user" not in masked and not (isinstance(user, str) and _USER.fullmatch(user)):
        return None
    addresses, keys = _items(document.get("addresses")), _items(document.get("host_keys"))
    claimed = [item.get("address") for item in addresses if isinstance(item, dict)]
    return Marker(
        "" if "node" in masked else str(node),
        tuple(_addresses(addresses)),
        0 if "port" in masked else int(str(port)),
        "" if "user" in masked else str(user),
        tuple(_host_keys(keys)),
        tuple(_problems(document.get("problems"))),
        masked=bool(masked) or any(map(_is_masked, claimed + keys)),
    )


def _is_masked(value: object) -> bool:
    """Whether it has asterisks, which our own values never have."""
    return isinstance(value, str) and "*" in value


def _addresses(items: list[Any]) -> list[str]:
    found: list[str] = []
    for item in items[:_ADDRESSES_LIMIT]:
        text = item.get("address") if isinstance(item, dict) else None
        # ipaddress accepts any zone after `%`, but a container's zone means nothing here.
        if not isinstance(text, str) or "%" in text:
            continue
        with contextlib.suppress(ValueError):
            found.append(str(ipaddress.ip_address(text)))
    return found


def _problems(value: object) -> list[str]:
    words = [item for item in _items(value)[:_PROBLEMS_LIMIT] if isinstance(item, str)]
    return [printable(item[:PROBLEM_LIMIT], PROBLEM_LIMIT) for item in words]


def _host_keys(items: list[Any]) -> list[str]:
    keys = [item for item in items[:_KEYS_LIMIT] if isinstance(item, str)]
    return [key for key in keys if is_public_key(key)]


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
