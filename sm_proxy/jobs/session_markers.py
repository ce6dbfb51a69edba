"""Markers that `bootstrap` read through a session that AWS authenticated, not from a log.

A container without our entrypoint prints no marker into its log. So its marker is kept here, in the
state folder, for one node of one job. A restarted container has a newer log stream, and no server
of ours: no marker will come, so the error is raised at once.
"""

from __future__ import annotations

from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import log_streams, marker
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.marker import Marker
from sm_proxy.local import paths
from sm_proxy.state.cache import Cache

KEPT_S: Final = 28 * 24 * 3600.0
"""How long a marker is kept: the longest that a job may run."""


def keep(aws: Aws, job: Job, node: str, stream: str, line: str) -> Marker | None:
    """Save the marker of a node; None, and nothing is saved, if the line is no valid marker.

    Args:
        aws: gives the scope and the service's clock.
        job: the node's job.
        node: such as `algo-1`.
        stream: the node's newest log stream, read before the session began; empty if it has none.
        line: the marker as the container printed it.

    Raises:
        SmProxyError: `config-read-only`, it cannot be saved: `ssh` would not find the server.
    """
    found = marker.parse(line)
    if found is None or found.node != node:
        return None
    now = aws.now().timestamp()
    record = {"line": line, "stream": stream, "since": now}
    # From now on: a job's limit counts from the start of its training, which may have waited long.
    until = now + (job.max_runtime_s or KEPT_S)
    records, key = _records(), _key(aws, job, node)
    records.save(*key, record=record, expires=until - aws.clock_offset_s)
    if records.load(*key) is None:
        raise SmProxyError(
            "config-read-only",
            f"the SSH server of {job.name}/{node} runs, but {paths.state_dir()} cannot keep its"
            " port and host keys, so ssh does not find it",
            "Make that folder your own and writable, then run this again.",
        )
    return found


def load(aws: Aws, job: Job, node: str, stream: str, host: str) -> Marker | None:
    """The marker of a node; None if none was kept.

    Args:
        aws: as in `keep`.
        job: the node's job.
        node: such as `algo-1`.
        stream: the node's newest log stream now; empty if it has none.
        host: the node's host name, for messages.

    Raises:
        SmProxyError: `no-address`, the container has started again since.
    """
    record = _records().load(*_key(aws, job, node))
    if record is None:
        return None
    line = record.get("line")
    found = marker.parse(line) if isinstance(line, str) else None
    if found is None:
        forget(aws, job, node)
    elif not _is_of(record, stream):
        raise SmProxyError(
            "no-address",
            f"the container of {job.name}/{node} has started again, without the SSH server that"
            " bootstrap had put into it",
            f"Put it there again: sm-proxy bootstrap {host}",
        )
    return found


def forget(aws: Aws, job: Job, node: str) -> None:
    """Remove the marker of a node, whose server or container is gone."""
    _records().forget(*_key(aws, job, node))


def sweep() -> None:
    """Remove the markers of jobs that must be over."""
    _records().sweep()


def _is_of(record: dict[str, Any], stream: str) -> bool:
    """Whether the container with this newest log stream is the one whose marker was saved."""
    if record.get("stream") == stream:
        return True
    if record.get("stream") or not isinstance(since := record.get("since"), float):
        return False
    # It had printed nothing yet. Its stream, once there, is named after the time of its start.
    started = log_streams.started_ms(stream)
    return started is not None and started / 1000 <= since


def _records() -> Cache:
    return Cache("session-markers", paths.state_dir())


def _key(aws: Aws, job: Job, node: str) -> tuple[str, ...]:
    return (aws.scope, job.kind, job.name, node)
