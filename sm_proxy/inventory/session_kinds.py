"""Studio spaces and HyperPod clusters in lists: their host names, nodes and reachability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import cluster_nodes, hostname, kinds
from sm_proxy.jobs.cluster_nodes import ClusterNode
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Summary
from sm_proxy.ssh_config.blocks import Stub

_STUBS_OF_A_CLUSTER: Final = 16
_STUBS_OF_SPACES: Final = 64
"""More hosts would not help in a menu; the newest spaces come first."""


def clashing(listed: Sequence[Summary]) -> frozenset[str]:
    """The names that spaces of several domains have.

    Args:
        listed: jobs of any kind; all spaces of the account, also those that are stopped.
    """
    names = Counter(item.name for item in listed if item.kind == "space")
    return frozenset(name for name, count in names.items() if count > 1)


def target_of(listed: Summary, prefix: str, clashes: frozenset[str]) -> Target:
    """The shortest host name of a job, space or cluster.

    Args:
        listed: in the result of a List call.
        prefix: of the host name.
        clashes: names of spaces that need their domain.
    """
    if listed.kind == "space" and listed.name in clashes:
        return hostname.compose(prefix, listed.name, listed.place, listed.kind)
    return hostname.shortest(prefix, listed.name, listed.kind)


def why_not(listed: Summary, target: Target) -> str | None:
    """Why a listed space cannot be reached now, and what helps; None if it can.

    Args:
        listed: a space in the result of ListSpaces and ListApps.
        target: its host name.
    """
    if listed.phase == "failed":
        return f"it has failed; see why, or try again: sm-proxy start {target.host}"
    if listed.phase == "ended":
        return f"it is stopped; start it: sm-proxy start {target.host}"
    if not listed.remote_access:
        return f"its remote access is off; turn it on: sm-proxy start {target.host}"
    return None


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
    """Hosts for spaces and nodes that ssh can reach now.

    Of the spaces, those of all user profiles: which of them the user may enter, only AWS's policies
    tell, and the names of profiles need not be like those of IAM.

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
    spaces = [
        _stub(target)
        for item in running
        if item.kind == "space"
        if why_not(item, target := target_of(item, prefix, clashes)) is None
    ]
    nodes = [
        _stub(hostname.compose(prefix, item.name, node.label, item.kind))
        for item in running
        if item.kind == "hyperpod"
        for node in _running(aws, item, on_status)
    ]
    return [*spaces[:_STUBS_OF_SPACES], *nodes]


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
