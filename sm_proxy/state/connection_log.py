"""The history of connections to each host. `doctor` reads it, because editors hide our error line.

A record is written once, at the end of a connection. It has no secrets: a session id alone opens
nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import paths, private_files
from sm_proxy.local.redaction import redact
from sm_proxy.state.journal import Journal

OK: Final = "ok"
INTERRUPTED: Final = "interrupted"
"""ssh exited first: its time limit had passed, or the user stopped it."""
UNKNOWN: Final = -1
"""The number of bytes of a connection that was passed to ssh."""
HOSTS: Final = 64
"""How many hosts have a log at most."""
KEEP_S: Final = 30 * 24 * 3600.0
"""How long the log of a host is kept after its last connection."""
_OLD_THROUGH: Final = "bastion"
"""The name of `through` in records of an earlier version; they are kept for `KEEP_S`."""


@dataclass(frozen=True)
class ConnectionRecord:
    """One connection.

    Attributes:
        host: as the user typed it.
        time: when it began (ISO 8601, UTC).
        code: `ok`, `interrupted`, or the code of the error that ended it.
        line: the last line that was printed for the user; empty if none was.
        seconds: from start to end.
        job: the job's name; empty if it was not found.
        node: such as `algo-1`.
        address: of the container.
        port: of its SSH server; 0 if unknown.
        through: the route and the machine it went through, such as `bastion i-0abc`; empty if we
            did not get that far.
        session: the SSM session's id; empty if there was none.
        up: bytes to the container; UNKNOWN if ssh has the connection itself.
        down: bytes from the container; UNKNOWN likewise.
        resumes: how often a lost connection to SSM was resumed.
        kept: whether the session was kept for further connections.
    """

    host: str
    time: str = ""
    code: str = OK
    line: str = ""
    seconds: float = 0.0
    job: str = ""
    node: str = ""
    address: str = ""
    port: int = 0
    through: str = ""
    session: str = ""
    up: int = 0
    down: int = 0
    resumes: int = 0
    kept: bool = False

    @property
    def failed(self) -> bool:
        """Whether an error ended it."""
        return self.code not in {OK, INTERRUPTED}


def append(record: ConnectionRecord, began: float, ended_by: BaseException | None) -> None:
    """Record a connection that has ended; failures are ignored.

    Args:
        record: what is known about it; `append` adds `time`, `seconds`, `code` and `line`.
        began: when it began, in Unix seconds.
        ended_by: the exception that ended it; None for a clean end.
    """
    if record.session and not private_files.exists(paths.state_dir()):
        return  # `open_sessions` noted it there: since then, `sm-proxy uninstall` has removed all
    code, line = _ending(ended_by)
    record = replace(
        record,
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        seconds=round(time.time() - began, 3),
        code=code,
        line=line,
    )
    with contextlib.suppress(OSError, SmProxyError):
        path = _path(record.host)
        if not private_files.exists(path):
            _make_room(path.parent)
        Journal(path).add(asdict(record))


def _ending(ended_by: BaseException | None) -> tuple[str, str]:
    """The code of a connection's end, and the line for the user."""
    if ended_by is None:
        return OK, ""
    if isinstance(ended_by, SmProxyError):
        return ended_by.code, printable(redact(ended_by.line))
    if isinstance(ended_by, Exception):
        return "bug", type(ended_by).__name__
    return INTERRUPTED, ""


def recent(host: str) -> list[ConnectionRecord]:
    """The recorded connections to a host, the newest first."""
    with contextlib.suppress(SmProxyError):
        found = map(_record, Journal(_path(host)).records())
        return [item for item in found if item is not None and item.host == host][::-1]
    return []


def _path(host: str) -> Path:
    # A digest, because a host name that we refuse may contain anything, such as slashes.
    name = hashlib.sha256(host.encode(errors="surrogateescape")).hexdigest()[:32]
    return paths.state_dir() / "connections" / f"{name}.jsonl"


def _make_room(folder: Path) -> None:
    """Remove logs older than `KEEP_S`, and the oldest ones above `HOSTS`, for a new host's log."""
    if not private_files.exists(folder):
        return
    private_files.refuse_shared(folder)
    logs = sorted(folder.glob("*.jsonl"), key=_changed, reverse=True)
    for number, log in enumerate(logs):
        if number >= HOSTS - 1 or _changed(log) < time.time() - KEEP_S:
            for path in (log, log.with_name(f"{log.name}.1")):
                path.unlink(missing_ok=True)


def _changed(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime
    return 0.0


def _record(found: dict[str, Any]) -> ConnectionRecord | None:
    known = {item.name for item in fields(ConnectionRecord)}
    if _OLD_THROUGH in found:
        found = {"through": found[_OLD_THROUGH], **found}
    try:
        record = ConnectionRecord(**{name: value for name, value in found.items() if name in known})
    except TypeError:
        return None
    given = asdict(record)
    sample = asdict(ConnectionRecord(""))
    good = all(isinstance(given[name], _kinds(sample[name])) for name in sample)
    return record if good else None


def _kinds(sample: object) -> tuple[type, ...]:
    return (float, int) if isinstance(sample, float) else (type(sample),)
