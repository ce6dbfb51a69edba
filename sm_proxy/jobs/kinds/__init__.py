"""The differences between kinds of jobs: one module each, named like its row in `aws/job_kinds.py`.

A module is imported when its kind is needed: most connections go to training jobs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import KINDS, Kind
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job, Summary
from sm_proxy.jobs.log_streams import Streams

if TYPE_CHECKING:  # jobs do without them
    from sm_proxy.jobs.cluster_nodes import ClusterNode

ORDER: Final[tuple[Kind, ...]] = tuple(KINDS)
"""The order in which a name is looked up."""
_DONE: Final = frozenset({"Completed", "Uploading"})
"""Statuses of a job whose program has ended by itself."""


class JobKind(Protocol):
    """The members of a module for a kind."""

    @property
    def NOUN(self) -> str:  # noqa: N802 - a constant of the module
        """The kind in words, such as `training job`."""

    @property
    def NODES_ARE_NAMED(self) -> bool:  # noqa: N802
        """Whether its containers, and their markers, call themselves algo-n."""

    @property
    def CAN_BE_KEPT(self) -> bool:  # noqa: N802
        """Whether a container may outlive its program: the service ends those of other kinds."""

    @property
    def CAN_BE_RELAUNCHED(self) -> bool:  # noqa: N802
        """Whether `sm-proxy relaunch` can run such a job again."""

    @property
    def ONE_STATUS_IS_LIVE(self) -> bool:  # noqa: N802
        """Whether `recent(live=True)` lists all that have not ended; it filters by one status."""

    def describe_call(self, name: str) -> tuple[str, dict[str, str]]:
        """The operation that describes the job of that name, and its parameters."""

    def stop_call(self, name: str) -> tuple[str, dict[str, str]]:
        """The operation that ends the job of that name, and its parameters.

        Raises:
            SmProxyError: `unsupported`, with the way to end one of this kind.
        """

    def describe(self, aws: Aws, name: str, known: Job | None = None) -> Job | None:
        """The job of exactly that name; None if there is none.

        Args:
            aws: for the calls.
            name: the job's name.
            known: an earlier result; it saves the calls for what cannot change.
        """

    def recent(self, aws: Aws, contains: str = "", *, live: bool = False) -> list[Summary]:
        """One page of the kind's jobs, the newest first.

        Args:
            aws: for the call.
            contains: only jobs whose name contains this; the documentation does not tell
                whether case counts.
            live: only jobs that have not ended.
        """

    def streams(self, job: Job, node: str) -> Streams:
        """How to find the log stream of a node."""

    def vpc_config(self, aws: Aws, job: Job) -> Mapping[str, Any]:
        """The VpcConfig of its containers, empty if it has none: one call, or two.

        Raises:
            ServiceError: a call failed; the caller decides what that means.
            SmProxyError: a call failed.
        """


class SessionJobKind(JobKind, Protocol):
    """The further members of a module for a kind of `SESSION_KINDS`."""

    def find(self, aws: Aws, target: Target, on_status: Callable[[str], None]) -> Job:
        """What a host name means: the name, and the labels in `target.node`.

        A kind with `unique_names` has no such function.

        Args:
            aws: for the calls.
            target: the host name, parsed.
            on_status: takes a line if the name is not the one that was typed.

        Raises:
            SmProxyError: `job-not-found`, `job-ambiguous`, or a call failed.
        """

    def container(self, aws: Aws, job: Job, target: Target) -> Container | Job | None:
        """The server that a session reaches; None while it starts.

        A `Job` also means that it starts, and has the name and status to show meanwhile.

        Args:
            aws: for the calls.
            job: from `find`, or described again.
            target: the host name, parsed.

        Raises:
            SmProxyError: it has none, such as `space-stopped`; or a call failed.
        """

    def why_not(self, listed: Summary, host: str) -> str | None:
        """Why it cannot be reached now, and what helps; None if it can, by what a list tells.

        A kind with nodes (`SessionKind.has_nodes`) has no such function: its nodes tell.

        Args:
            listed: in the result of `recent`, and neither starting nor a job.
            host: its host name.
        """

    def nodes(self, aws: Aws, job: Job, target: Target) -> list[ClusterNode]:
        """The nodes that a host name means: all, those of a group, or one.

        A kind without nodes (`SessionKind.has_nodes`) has no such function.

        Args:
            aws: for the calls.
            job: the cluster.
            target: the host name, parsed by `jobs.nodes.parse`.

        Raises:
            SmProxyError: `bad-name`, there is none; or a call failed.
        """


def of_session(kind: Kind) -> SessionJobKind:
    """The module of a kind of `SESSION_KINDS`."""
    return cast("SessionJobKind", of(kind))


def of(kind: Kind) -> JobKind:
    """The module of a kind."""
    return cast("JobKind", importlib.import_module(f"{__name__}.{kind}"))


def could_have_been_kept(job: Job) -> bool:
    """Whether a setting could have kept its container, which ended because its program was done."""
    return job.status in _DONE and of(job.kind).CAN_BE_KEPT


def describe_again(aws: Aws, job: Job) -> Job:
    """Describe the job again while waiting for it: one call.

    Raises:
        SmProxyError: `job-not-found` if it has been deleted, or the call failed.
    """
    found = of(job.kind).describe(aws, job.name, job)
    if found is None:
        raise SmProxyError("job-not-found", f"{job.noun} {job.name} is gone", "Start it again.")
    return found


def refuse_missing_node(job: Job, node: str) -> None:
    """Raise if the job cannot have such a node. Only the log knows its instance ids.

    Raises:
        SmProxyError: `bad-name`.
    """
    if of(job.kind).NODES_ARE_NAMED and not node.startswith("algo-"):
        raise SmProxyError(
            "bad-name",
            f"nodes of {job.noun} {job.name} have no instance ids: there is no {node}",
            f"Its nodes are algo-1 to algo-{job.nodes}.",
        )
    job.refuse_missing_node(node)
