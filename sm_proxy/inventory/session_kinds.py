"""Studio spaces and HyperPod clusters in lists: their host names, nodes and reachability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS, Kind, has_nodes
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import cluster_nodes, hostname, kinds
from sm_proxy.jobs.cluster_nodes import ClusterNode
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Summary
from sm_proxy.ssh_config.blocks import Stub

_STUBS_OF_A_CLUSTER: Final = 16
_STUBS_WITHOUT_NODES: Final = 64
"""The most hosts of a kind in a menu; the newest come first."""


Clashes: TypeAlias = frozenset[tuple[Kind, str]]
"""Kinds and names that several things have."""


def clashing(listed: Sequence[Summary]) -> Clashes:
    """The names that need more in a host name, such as those that spaces of several domains have.

    Args:
        listed: jobs of any kind; all spaces of the account, also those that are stopped.
    """
    names = Counter((item.kind, item.name) for item in listed if item.place)
    return frozenset(each for each, count in names.items() if count > 1)


def target_of(listed: Summary, prefix: str, clashes: Clashes) -> Target:
    """The shortest host name of a job, space or cluster.

    Args:
        listed: in the result of a List call.
        prefix: of the host name.
        clashes: names that need their place, such as a domain.
    """
    if (listed.kind, listed.name) in clashes:
        return hostname.compose(prefix, listed.name, listed.place, listed.kind)
    return hostname.shortest(prefix, listed.name, listed.kind)


def why_not(listed: Summary, target: Target) -> str | None:
    """Why a thing without nodes cannot be reached now, and what helps; None if it can.

    Args:
        listed: in the result of a List call.
        target: its host name.
    """
    return kinds.of_session(listed.kind).why_not(listed, target.host)


def node_count(aws: Aws, cluster: Summary) -> int | None:
    """How many nodes a cluster has: DescribeCluster. None if that is unknown."""
    try:
        job = kinds.of(cluster.kind).describe(aws, cluster.name)
    except SmProxyError:
        return None
    return job.nodes if job else None


def first_running(aws: Aws, cluster: Summary, prefix: str) -> tuple[Target | None, int]:
    """The host name of a running node, and the number of all nodes: ListClusterNodes.

    Raises:
        SmProxyError: the call failed.
    """
    nodes = cluster_nodes.of(aws, cluster.name)
    running = next((node for node in nodes if node.running), None)
    target = (
        hostname.compose(prefix, cluster.name, running.label, cluster.kind) if running else None
    )
    return target, len(nodes)


def stubs(
    aws: Aws, listed: Sequence[Summary], prefix: str, on_status: Callable[[str], None]
) -> list[Stub]:
    """Hosts for what sessions reach now: spaces, then the nodes of clusters.

    The spaces are those of all user profiles: only AWS's policies decide which of them the user may
    enter, and the names of profiles may differ from those of IAM.

    Args:
        aws: for ListClusterNodes, one call for 100 nodes of each cluster.
        listed: as `clashing`.
        prefix: of the host names.
        on_status: takes a line for each cluster whose nodes may not be listed: a policy may name
            single clusters.

    Raises:
        SmProxyError: a call failed.
    """
    clashes = clashing(listed)
    newest = sorted(listed, key=lambda item: item.created, reverse=True)
    running = [item for item in newest if item.phase == "running"]
    single = [
        _stub(target)
        for item in running
        if not has_nodes(item.kind)
        if why_not(item, target := target_of(item, prefix, clashes)) is None
    ]
    nodes = [
        _stub(hostname.compose(prefix, item.name, node.label, item.kind))
        for item in running
        if has_nodes(item.kind)
        for node in _running(aws, item, on_status)
    ]
    return [*single[:_STUBS_WITHOUT_NODES], *nodes]


def _running(aws: Aws, cluster: Summary, on_status: Callable[[str], None]) -> list[ClusterNode]:
    try:
        nodes = cluster_nodes.of(aws, cluster.name)
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        on_status(f"left out: nodes of {cluster.name}: {error.message}")
        return []
    return [node for node in nodes if node.running][:_STUBS_OF_A_CLUSTER]


def _stub(target: Target) -> Stub:
    kind = target.kind or ""
    return Stub(target.host, SESSION_KINDS[kind].user, kinds.of(kind).NOUN)
