"""Read a container's address from its log, in one of several formats.

A format is a function from a line to an address, and one row of `_TABLE`. A format higher in the
table wins, even if its line comes later in the log. Within the marker format the first line wins,
so that a later line cannot change the address. A format may have its addresses on several lines,
and these on two pages. So each page is read together with all pages before it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from sm_proxy.jobs import log_prefix, marker

Source = Literal[
    "marker",
    "ip-addr",
    "ssh-helper",
    "session",
]
"""The formats, and `session` for a marker that did not come from a log (`session_markers.py`)."""

MARKERS: Final = frozenset({"marker", "session"})
"""Sources that name a server of ours, with its host keys."""
_SSH_PORT: Final = 22
_LINE_LIMIT: Final = 1000
_ADDRESSES_LIMIT: Final = 32
_IP_ADDR: Final = re.compile(
    r"(?:\b\d{1,5}: [\w.@-]{1,32} +)?"
    r"\binet6? (?:([0-9a-fA-F.:]{2,45})/\d{1,3}|[\w.:/]{0,45}\*[\w.:/*]{0,60})"
    r"(?: \S+){0,8} scope global\b.*"
)
"""`ip addr` and `ip -o addr`; the second alternative is a masked address."""
_SSH_HELPER: Final = re.compile(r"\bSSH Helper Log IP: *([0-9a-fA-F.: *]{2,1000})\s*")


@dataclass(frozen=True)
class LogAddress:
    """How to reach a container, according to its log.

    Attributes:
        source: the format.
        addresses: IP addresses in the container's order; not yet checked against the subnets.
        port: its SSH server's port; 0 if it says that it has no server.
        user: the user who can log in; None if the log does not tell.
        host_keys: each `"type base64"`; empty if the log has none.
        problems: why something is missing, in the container's words.
        ignored: how many later markers differ; a container prints one marker.
        masked: whether CloudWatch Logs has replaced a part with asterisks.
    """

    source: Source
    addresses: tuple[str, ...]
    port: int = _SSH_PORT
    user: str | None = None
    host_keys: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    ignored: int = 0
    masked: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a node's log.

    Attributes:
        text: as printed.
        node: of the log: see `read`.
        alone: whether the job has no other node.
    """

    text: str
    node: str | None
    alone: bool

    def search(self, form: re.Pattern[str], word: str) -> re.Match[str] | None:
        """Match a pattern up to the end of the line; None if the line is another node's.

        Args:
            form: the pattern.
            word: a part of every match, to skip other lines quickly.
        """
        if word not in self.text or len(self.text) > _LINE_LIMIT:
            return None
        text = log_prefix.without_colours(self.text)
        match = form.search(text)
        if match is None or match.end() != len(text):
            return None
        prefix = text[: match.start()]
        return match if log_prefix.is_of(prefix, self.node, alone=self.alone) else None


def read(
    pages: Iterable[Iterable[str]], node: str | None, *, alone: bool = False
) -> Iterator[LogAddress]:
    """The best address so far, after each page of a node's log that has one.

    Args:
        pages: the events of the log, in order; a page is read only when it is needed.
        node: of the log; None if containers do not know their node's name.
        alone: whether the job has no other node.
    """
    reported: dict[Source, list[LogAddress]] = {source: [] for source in _TABLE}
    for page in pages:
        lines = [Line(text, node, alone) for event in page for text in log_prefix.lines(event)]
        for source, reader in _TABLE.items():
            reported[source] += [item for line in lines if (item := reader(line)) is not None]
            if reported[source]:
                yield _first(reported[source]) if source == "marker" else _merged(reported[source])
                break


def _first(reported: list[LogAddress]) -> LogAddress:
    """The first marker: a later line in the log cannot change the address."""
    return replace(reported[0], ignored=sum(other != reported[0] for other in reported[1:]))


def _marker(line: Line) -> LogAddress | None:
    parsed = marker.parse(line.text)
    # A launcher such as mpirun copies the output of other nodes into the first node's log.
    if parsed is None or (parsed.node and line.node not in {None, parsed.node}):
        return None
    return LogAddress(
        "marker",
        parsed.addresses,
        parsed.port,
        parsed.user or None,
        parsed.host_keys,
        parsed.problems,
        masked=parsed.masked,
    )


def _ip_addr(line: Line) -> LogAddress | None:
    """A line of `ip addr`: `    inet 10.0.159.150/19 brd 10.0.159.255 scope global eth0`."""
    match = line.search(_IP_ADDR, "inet")
    if match is None or not log_prefix.is_known(match.string[: match.start()]):
        return None
    return _plain("ip-addr", [match[1] or "*"])


def _ssh_helper(line: Line) -> LogAddress | None:
    """A line of sagemaker-ssh-helper: its container's `hostname -I`."""
    match = line.search(_SSH_HELPER, "SSH Helper")
    return _plain("ssh-helper", match[1].split()) if match else None


_TABLE: Final[dict[Source, Callable[[Line], LogAddress | None]]] = {
    "marker": _marker,
    "ip-addr": _ip_addr,
    "ssh-helper": _ssh_helper,
}


def _plain(source: Source, words: list[str]) -> LogAddress | None:
    addresses = tuple(word for word in words[:_ADDRESSES_LIMIT] if _is_address(word))
    masked = any("*" in word for word in words)
    return LogAddress(source, addresses, masked=masked) if addresses or masked else None


def _merged(reported: list[LogAddress]) -> LogAddress:
    """All addresses of a format with one address a line, in order, without duplicates."""
    addresses = dict.fromkeys(address for item in reported for address in item.addresses)
    masked = any(item.masked for item in reported)
    return LogAddress(reported[0].source, tuple(addresses)[:_ADDRESSES_LIMIT], masked=masked)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
