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

from sm_proxy.jobs import log_prefix, marker

Source = Literal["marker", "ip-addr", "ssh-helper"]

_SSH_PORT: Final = 22
_LINE_LIMIT: Final = 1000
_ADDRESSES_LIMIT: Final = 32
_IP_ADDR: Final = re.compile(
    r"(?:\b\d{1,5}: [\w.@-]{1,32} +)?"
    r"\binet6? (?:([0-9a-fA-F.:]{2,45})/\d{1,3}|[\w.:/]{0,45}\*[\w.:/*]{0,60})"
    r"(?: \S+){0,8} scope global\b.*"
)
"""Of `ip addr` and of `ip -o addr`; the second way of an address is a masked one."""
_SSH_HELPER: Final = re.compile(r"\bSSH Helper Log IP: *([0-9a-fA-F.: *]{2,1000})\s*")


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
        masked: whether CloudWatch Logs has put asterisks where some of it stood.
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
        text: as it was printed.
        node: whose log it is: see `read`.
        alone: whether the job has no other node.
    """

    text: str
    node: str | None
    alone: bool

    def search(self, form: re.Pattern[str], word: str) -> re.Match[str] | None:
        """The form, which holds `word` and goes on to the line's end; None in another node's."""
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
    """The best that a node's log tells so far, after each page that leaves something to tell.

    Args:
        pages: the events of its log, in order; no more of them are taken than are asked for.
        node: whose marker counts; None where containers do not know what they are called.
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
    """The first marker; whoever can write to the log cannot move the container by a later one."""
    return replace(reported[0], ignored=sum(other != reported[0] for other in reported[1:]))


def _marker(line: Line) -> LogAddress | None:
    parsed = marker.parse(line.text)
    # A launcher such as mpirun copies what the other nodes print into the first one's log.
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
    """All addresses of a form that names one a line, in order, each once."""
    addresses = dict.fromkeys(address for item in reported for address in item.addresses)
    masked = any(item.masked for item in reported)
    return LogAddress(reported[0].source, tuple(addresses)[:_ADDRESSES_LIMIT], masked=masked)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
