"""The kinds of jobs: one module each, and the table of them.

A module is loaded when its kind is met: most connections go to training jobs.
"""

from __future__ import annotations

import importlib
from typing import Final, Protocol, cast

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.hostname import Kind
from sm_proxy.jobs.job import Job, Summary
from sm_proxy.jobs.log_streams import Streams

_TABLE: Final[dict[Kind, str]] = {
    "training": "training",
    "processing": "processing",
    "transform": "transform",
    "endpoint": "endpoint",
}
ORDER: Final = tuple(_TABLE)
"""In this order a name is tried."""


class JobKind(Protocol):
    """What a module of a kind offers."""

    @property
    def NOUN(self) -> str:  # noqa: N802 - a constant of the module
        """What people call one of them."""

    @property
    def NODES_ARE_NAMED(self) -> bool:  # noqa: N802
        """Whether containers know themselves as algo-n, and so does their marker."""

    def describe(self, aws: Aws, name: str, known: Job | None = None) -> Job | None:
        """The job of exactly that name; None when there is none.

        Args:
            aws: for the calls.
            name: the job's name.
            known: what it was a moment ago; what cannot have changed is not asked again.
        """

    def recent(self, aws: Aws, contains: str = "", *, live: bool = False) -> list[Summary]:
        """One page of the kind's jobs, the newest first.

        Args:
            aws: for the call.
            contains: only those whose name contains this; whether case counts, the service's
                documentation does not say.
            live: only those that have not ended.
        """

    def streams(self, job: Job, node: str) -> Streams:
        """How the stream of a node is found."""


def of(kind: Kind) -> JobKind:
    """The module of a kind."""
    return cast("JobKind", importlib.import_module(f"{__name__}.{_TABLE[kind]}"))


def describe_again(aws: Aws, job: Job) -> Job:
    """The same job once more, for who waits: one call.

    Raises:
        SmProxyError: `job-not-found` when it has been deleted, or what the call met.
    """
    found = of(job.kind).describe(aws, job.name, job)
    if found is None:
        raise SmProxyError("job-not-found", f"{job.noun} {job.name} is gone", "Start it again.")
    return found


def refuse_missing_node(job: Job, node: str) -> None:
    """Raise if the job has no such node; which instances one has only its log tells.

    Raises:
        SmProxyError: `bad-name`.
    """
    if of(job.kind).NODES_ARE_NAMED and not node.startswith("algo-"):
        raise SmProxyError(
            "bad-name",
            f"{job.noun} {job.name} has no instances by id, there is no {node}",
            f"Nodes are algo-1 to algo-{job.nodes}.",
        )
    job.refuse_missing_node(node)
