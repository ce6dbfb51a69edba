"""Keeps the host names that a list has shown, for completion at TAB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.inventory.reachable import Reachability
from sm_proxy.jobs import hostname
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Summary
from sm_proxy.state import host_names
from sm_proxy.state.host_names import HostName

_NODES: Final = 16
"""The most nodes of a job whose names are kept, as in `sync`: a list of hundreds is of no use."""


def keep(rows: Iterable[tuple[Summary, Target, Reachability]]) -> None:
    """Keep the names of jobs, spaces and clusters, and those of a job's further nodes."""
    host_names.keep(
        HostName(host, job.kind, job.created.timestamp(), ended=job.phase in {"ended", "failed"})
        for job, target, found in rows
        for host in _hosts(job, target, found.nodes or 1)
    )


def _hosts(job: Summary, target: Target, nodes: int) -> Iterator[str]:
    yield target.host
    if job.kind not in SESSION_KINDS:
        for number in range(2, min(nodes, _NODES) + 1):
            yield hostname.compose(target.prefix, job.name, f"algo-{number}", target.kind).host
