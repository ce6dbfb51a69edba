"""The status of a daemon, for `sm-proxy daemon status`. It has no secret."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True)
class Connection:
    """One connection that a process of the daemon carries.

    Attributes:
        pid: the connection's own process, or the keeper that has taken it over.
        host: as the user typed it.
        since: when it was asked for, in Unix seconds.
    """

    pid: int
    host: str
    since: float


@dataclass(frozen=True)
class KeptSession:
    """A session that a keeper holds open.

    Attributes:
        pid: of the keeper.
        session: the SSM session's id.
        target: what the session leads to, for people: such as `i-0abc to 10.0.1.5:22`.
        since: when it was opened, in Unix seconds.
        streams: how many connections use it now.
        ends_in: seconds until it is terminated; None while a connection uses it.
    """

    pid: int
    session: str
    target: str
    since: float
    streams: int
    ends_in: float | None


@dataclass(frozen=True)
class Status:
    """A daemon, and what it holds.

    Attributes:
        pid: its process.
        version: of sm-proxy, when it started.
        since: when it started, in Unix seconds.
        idle: after how many seconds without work it ends.
        ends_in: seconds until it ends; None while it has work.
        connections: the oldest first.
        sessions: the oldest first.
    """

    pid: int
    version: str
    since: float
    idle: float
    ends_in: float | None
    connections: tuple[Connection, ...] = ()
    sessions: tuple[KeptSession, ...] = ()

    def to_json(self) -> bytes:
        """For the socket."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Status:
        """What a daemon answered, perhaps one of another version.

        Raises:
            ValueError: it is something else.
        """
        try:
            found = json.loads(data)
            found["connections"] = tuple(_known(Connection, each) for each in found["connections"])
            found["sessions"] = tuple(_known(KeptSession, each) for each in found["sessions"])
            return _known(cls, found)
        except (AttributeError, KeyError, RecursionError, TypeError) as error:
            raise ValueError(f"not a daemon's status: {error}") from None


def _known(kind: type[_T], found: dict[str, Any]) -> _T:
    """One of these, from a dict that may have more than we know."""
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in found.items() if name in names})
