"""Where a container's address may come from: what containers print today, one function a form.

A form is a function from a line to what it tells, and one row of the table. Within what has been
read of a log the forms higher in the table win, however late their line stands; within a form the
first line wins, so that whoever writes later lines cannot move the container. What a form says over
several lines may be cut by the end of a page: all that has been read so far is judged.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from sm_proxy.jobs import marker

Source = Literal["marker", "ip-addr", "ssh-helper"]

_SSH_PORT: Final = 22
_LINE_LIMIT: Final = 1000
_ADDRESSES_LIMIT: Final = 32
_IP_ADDR: Final = re.compile(
    r"\s*inet6? ([0-9a-fA-F.:]{2,45})/\d{1,3}(?: \S+){0,8} scope global\b.*"
)
_SSH_HELPER: Final = re.compile(r".*\bSSH Helper Log IP: *([0-9a-fA-F.: ]{2,1000})\s*")


@dataclass(frozen=True)
class LogAddress:
    """What a log tells of its container.

    Attributes:
        source: which form told it.
        addresses: IP addresses in the container's order; not yet held against the subnets.
        port: its SSH server's port; 0 when it says that it has none.
        user: the user it serves, None where the log does not say.
        host_keys: each `"type base64"`; empty where the log names none.
        problems: why something is missing, in the container's words.
        ignored: how many later markers say something else; a container prints one.
    """

    source: Source
    addresses: tuple[str, ...]
    port: int = _SSH_PORT
    user: str | None = None
    host_keys: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    ignored: int = 0


def read(pages: Iterable[Iterable[str]], node: str | None) -> Iterator[LogAddress]:
    """The best that a node's log tells so far, after each page that leaves something to tell.

    Args:
        pages: the lines of its log, in order; no more of them are taken than are asked for.
        node: whose marker counts; None where containers do not know what they are called.
    """
    reported: dict[Source, list[LogAddress]] = {source: [] for source in _TABLE}
    for page in pages:
        lines = list(page)
        for source, reader in _TABLE.items():
            reported[source] += [item for line in lines if (item := reader(line, node)) is not None]
            if reported[source]:
                yield _first(reported[source]) if source == "marker" else _merged(reported[source])
                break


def _first(reported: list[LogAddress]) -> LogAddress:
    """The first marker; whoever can write to the log cannot move the container by a later one."""
    return replace(reported[0], ignored=sum(other != reported[0] for other in reported[1:]))


def _marker(line: str, node: str | None) -> LogAddress | None:
    parsed = marker.parse(line)
    # A launcher such as mpirun copies what the other nodes print into the first one's log.
    if parsed is None or node not in {None, parsed.node}:
        return None
    return LogAddress(
        "marker", parsed.addresses, parsed.port, parsed.user, parsed.host_keys, parsed.problems
    )


def _ip_addr(line: str, _: str | None) -> LogAddress | None:
    """A line of `ip addr`: `    inet 10.0.159.150/19 brd 10.0.159.255 scope global eth0`."""
    match = _IP_ADDR.fullmatch(line) if len(line) <= _LINE_LIMIT else None
    return _plain("ip-addr", [match[1]]) if match else None


def _ssh_helper(line: str, _: str | None) -> LogAddress | None:
    """A line of sagemaker-ssh-helper: its container's `hostname -I`."""
    match = _SSH_HELPER.fullmatch(line) if len(line) <= _LINE_LIMIT else None
    return _plain("ssh-helper", match[1].split()) if match else None


_TABLE: Final[dict[Source, Callable[[str, str | None], LogAddress | None]]] = {
    "marker": _marker,
    "ip-addr": _ip_addr,
    "ssh-helper": _ssh_helper,
}


def _plain(source: Source, words: list[str]) -> LogAddress | None:
    addresses = tuple(word for word in words[:_ADDRESSES_LIMIT] if _is_address(word))
    return LogAddress(source, addresses) if addresses else None


def _merged(reported: list[LogAddress]) -> LogAddress:
    """All addresses of a form that names one a line, in order, each once."""
    addresses = dict.fromkeys(address for item in reported for address in item.addresses)
    return LogAddress(reported[0].source, tuple(addresses)[:_ADDRESSES_LIMIT])


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
