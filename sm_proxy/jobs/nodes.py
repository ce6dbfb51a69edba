"""The host names of all nodes of a job, for programs that run a command on many hosts.

A host name may say that all nodes are meant: `sm-myjob.*`, or `sm-myjob.*.processing`. For a
HyperPod cluster, `sm-c.*.hyperpod` means all nodes, `sm-c.workers.*.hyperpod` those of one group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import KINDS, SESSION_KINDS, Kind, has_nodes
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import hostname, kinds, listing, lookup
from sm_proxy.jobs.cluster_nodes import ClusterNode
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.local import threads
from sm_proxy.settings import Settings

_ALL: Final = ".*"
_AT_ONCE: Final = 8
"""Concurrent Describe calls: few enough for their rate limits."""
_SHOWN: Final = 10


@dataclass(frozen=True)
class Nodes:
    """The nodes that a host name means.

    Attributes:
        job: as the service describes it.
        targets: their host names, by number; a job with one node has no number in its host name.
        members: of a HyperPod cluster, the node of each target; else empty.
    """

    job: Job
    targets: tuple[Target, ...]
    members: tuple[ClusterNode, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host names of `targets`."""
        return tuple(target.host for target in self.targets)

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The instance type of each target; empty text where it is unknown."""
        if self.members:
            return tuple(node.instance_type for node in self.members)
        return (self.job.instance_type,) * len(self.targets)


def means_all(host: str) -> bool:
    """Whether a host name says that all nodes are meant."""
    return host.endswith(_ALL) or f"{_ALL}." in host


def parse(host: str, prefix: str) -> Target:
    """Read a host name that may say `.*` where a node could stand.

    Returns:
        The target without `.*`: its `names_node` is False. Its `node` may be a group of a cluster.

    Raises:
        SmProxyError: `bad-name`.
    """
    if not means_all(host):
        return hostname.parse(host, prefix)
    target = _parse_bare(host.replace(_ALL, "", 1), prefix)
    if target.names_node:
        raise SmProxyError(
            "bad-name",
            f"{printable(host, 100)!r} names one node and asks for all",
            f"Write {prefix}<job>.* for all nodes of a job.",
        )
    return target


def _parse_bare(host: str, prefix: str) -> Target:
    """A host name, or that of a group of a cluster: `sm-c.workers.hyperpod`."""
    try:
        return hostname.parse(host, prefix)
    except SmProxyError as error:
        head, _, kind = host.rpartition(".")
        if kind not in SESSION_KINDS:
            raise
        try:
            first = hostname.parse(f"{head}.1.{kind}", prefix)
        except SmProxyError:
            raise error from None
        return replace(first, host=host, node=first.node.rpartition(".")[0], names_node=False)


def find(
    target: Target,
    settings: Settings,
    aws: Aws,
    on_status: Callable[[str], None] = lambda _: None,
) -> Nodes:
    """The nodes that a host name means: the one that it names, else all nodes of its job.

    Args:
        target: from `parse`.
        settings: of this run.
        aws: for the calls.
        on_status: takes a line if the job's name is not the one that was typed.

    Raises:
        SmProxyError: `job-ended` or `job-failed`, it has no nodes any more; `bad-name`, it has no
            such node; `no-address`, no node of a cluster runs; or as `lookup.find`.
    """
    job = lookup.find(aws, target, on_status)
    job.refuse_if_over()
    if job.kind in SESSION_KINDS:
        if has_nodes(job.kind):
            members = kinds.of_session(job.kind).nodes(aws, job, target)
            return _of_cluster(job, target, members, on_status)
        return Nodes(job, (hostname.whole(target, job.name, job.place),))
    kinds.refuse_missing_node(job, target.node)
    names: list[str | None] = [target.node] if target.names_node else _names(job)
    # Without a kind, the job's whole name leads to the job that was found: `lookup` tries it first.
    return _named(job, names, settings, target.kind)


def _of_cluster(
    job: Job, target: Target, members: Sequence[ClusterNode], on_status: Callable[[str], None]
) -> Nodes:
    """The named node, else all running nodes; reports those that do not run.

    Raises:
        SmProxyError: `no-address`, none runs.
    """
    chosen, names = list(members), [target.node]
    if not target.names_node:
        chosen = [node for node in members if node.running]
        names = [node.label for node in chosen]
        away = [f"{node.label} ({node.status})" for node in members if not node.running]
        more = ", ..." if len(away) > _SHOWN else ""
        told = f"left out, not Running: {', '.join(away[:_SHOWN])}{more}"
        if not chosen:
            raise SmProxyError(
                "no-address", f"no node of {job.noun} {job.name} runs; {told}", "Try again later."
            )
        if away:
            on_status(told)
    hosts = (hostname.compose(target.prefix, job.name, name, job.kind) for name in names)
    return Nodes(job, tuple(hosts), tuple(chosen))


def of_all_running(
    settings: Settings, aws: Aws, on_status: Callable[[str], None] = lambda _: None
) -> list[Nodes]:
    """The nodes of each running job that ssh may reach, the newest job first.

    One list call for each kind, and the calls that describe each job.

    Args:
        settings: of this run.
        aws: for the calls.
        on_status: takes a line for each kind whose list is denied.

    Raises:
        SmProxyError: a call failed.
    """
    live = listing.list_all(aws, on_status, live=True)
    listed = [job for job in live if job.phase == "running" and job.kind in KINDS]
    listed.sort(key=lambda job: (job.created, job.name), reverse=True)
    found = threads.map_concurrently(
        lambda each: kinds.of(each.kind).describe(aws, each.name), listed, _AT_ONCE
    )
    return [_all_of(job, settings) for job in found if job is not None and _may_be_reached(job)]


def _all_of(job: Job, settings: Settings) -> Nodes:
    kind = hostname.shortest(settings.prefix, job.name, job.kind).kind
    return _named(job, _names(job), settings, kind)


def _named(job: Job, names: Sequence[str | None], settings: Settings, kind: Kind | None) -> Nodes:
    composed = (hostname.compose(settings.prefix, job.name, name, kind) for name in names)
    return Nodes(job, tuple(composed))


def _may_be_reached(job: Job) -> bool:
    return job.running and bool(job.subnets or job.remote_debug)


def _names(job: Job) -> list[str | None]:
    if job.nodes == 1:
        return [None]  # settings and known host keys are those of the plain name
    return [f"algo-{number}" for number in range(1, job.nodes + 1)]
