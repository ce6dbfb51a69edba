"""HyperPod clusters: their nodes run sshd, and Session Manager reaches them.

A node's host name has its group, and its number or its instance id. Numbers shift when nodes are
replaced (see `cluster_nodes.py`); an instance id always means the same node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import cluster_nodes, console_url, hostname
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.cluster_nodes import ClusterNode
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job, Phase, Summary
from sm_proxy.jobs.kinds import _calls
from sm_proxy.jobs.times import first_time

NOUN: Final = "HyperPod cluster"
NODES_ARE_NAMED: Final = False
CAN_BE_KEPT: Final = False
CAN_BE_RELAUNCHED: Final = False
ONE_STATUS_IS_LIVE: Final = False
EKS: Final = "Eks"
"""The member of DescribeCluster's Orchestrator for a cluster of Kubernetes."""
_KIND: Final = "hyperpod"
_PHASES: Final[dict[str, Phase]] = {
    "Creating": "starting",
    "InService": "running",
    "Updating": "running",
    "SystemUpdating": "running",
    "RollingBack": "running",
    "Deleting": "ended",
    "Failed": "failed",
}
"""By ClusterStatus; during an update, the other nodes still work."""
_ARN: Final = re.compile(r"arn:[a-z-]+:sagemaker:[a-z0-9-]+:[0-9]{12}:cluster/(?P<id>[a-z0-9]{12})")
"""ClusterArn in SageMaker's API reference."""
_SSH_PORT: Final = 22
_SHOWN: Final = 200
_MAY_LACK_SSHD: Final = "Nodes of a cluster on EKS may run no sshd."


def describe_call(name: str) -> tuple[str, dict[str, str]]:
    """DescribeCluster."""
    return "DescribeCluster", {"ClusterName": name}


def stop_call(name: str) -> NoReturn:
    """Refuse: a cluster has many users, and it can only be deleted.

    Raises:
        SmProxyError: `unsupported`.
    """
    raise SmProxyError(
        "unsupported",
        f"{NOUN} {name} cannot be stopped: its nodes are billed until their groups are smaller, or "
        "it is deleted",
        "Lower the InstanceCount of its groups: see aws sagemaker update-cluster help. To delete "
        f"all of it: aws sagemaker delete-cluster --cluster-name {name}",
    )


def describe(aws: Aws, name: str, known: Job | None = None) -> Job | None:
    """DescribeCluster: one call."""
    del known  # one response has everything
    answer = _calls.describe_if_there(aws, *describe_call(name))
    return None if answer is None else _read(answer)


def recent(aws: Aws, contains: str = "", *, live: bool = False) -> list[Summary]:
    """ListClusters: one call; it has no filter for the status."""
    page = _calls.list_page(
        aws, "ListClusters", "ClusterSummaries", _line, contains=contains, order="CREATION_TIME"
    )
    return [item for item in page if not live or item.phase not in {"ended", "failed"}]


def streams(job: Job, node: str) -> NoReturn:
    """Refuse: nodes write no log of ours.

    Raises:
        SmProxyError: `unsupported`.
    """
    del node
    raise SmProxyError(
        "unsupported",
        f"{NOUN} {job.name} has no log of a program",
        f"What its lifecycle scripts print is in {job.log_group}.",
    )


def vpc_config(aws: Aws, job: Job) -> Mapping[str, Any]:
    """Nothing: no route needs it."""
    del aws, job
    return {}


def nodes(aws: Aws, job: Job, target: Target) -> list[ClusterNode]:
    """All nodes of the cluster, or those that a host name names: ListClusterNodes, all pages.

    Args:
        aws: for the calls.
        job: the cluster.
        target: its `node` is empty, a group, or `<group>.<number or instance id>`.

    Raises:
        SmProxyError: `bad-name`, there are none; or a call failed.
    """
    return _chosen(aws, job, target, _listed(aws, job, target))


def container(aws: Aws, job: Job, target: Target) -> Container | Job | None:
    """The node's sshd: ListClusterNodes, all pages. Keeps those of the other nodes of its group.

    None while the cluster is created; a `Job` for a node that starts.

    Raises:
        SmProxyError: `bad-name`, no such node, or none is named; `job-failed`, `job-ended` or
            `no-address`, it is not Running; or a call failed.
    """
    _refuse_if_over(job)
    if not target.node:
        raise _unnamed(aws, job, target)
    listed = _listed(aws, job, target)
    try:
        node = _chosen(aws, job, target, listed)[0]
    except SmProxyError as error:
        if job.phase == "starting" and error.code == "bad-name":
            return None
        raise
    if node.status in cluster_nodes.STARTING:
        return node.awaited(job)
    node.refuse_unless_running(job)
    containers = {
        str(each.number): _container(job, each, target) for each in listed if each.running
    }
    JobCache(aws).keep_listed(target, job, containers)
    return _container(job, node, target)


def _listed(aws: Aws, job: Job, target: Target) -> list[ClusterNode]:
    """The nodes of the group that a host name names; without one, those of all groups."""
    found = cluster_nodes.of(aws, job.name, target.node.partition(".")[0])
    _forget_moved(aws, job, found)
    return found


def _chosen(aws: Aws, job: Job, target: Target, listed: Sequence[ClusterNode]) -> list[ClusterNode]:
    """Those that a host name names.

    Raises:
        SmProxyError: `bad-name`, there are none.
    """
    which = target.node.partition(".")[2]
    chosen = [node for node in listed if which in {"", str(node.number), node.instance}]
    if not chosen:
        raise _no_such_node(aws, job, target)
    return chosen


def _forget_moved(aws: Aws, job: Job, found: Iterable[ClusterNode]) -> None:
    """Forget the cached node of each number that means another node now.

    Otherwise two numbers would lead to one node once a third one has been replaced, and a program
    for all nodes would run twice on that one.
    """
    cache = JobCache(aws)
    for node in found:
        target = hostname.compose("", job.name, node.label, _KIND)
        known = cache.container(target)
        if known is not None and known.node != node.identity:
            cache.forget_container(target)


def _container(job: Job, node: ClusterNode, target: Target) -> Container:
    return Container(
        host=target.host,
        job=job.name,
        kind=_KIND,
        node=node.identity,
        address=None,
        port=_SSH_PORT,
        user=SESSION_KINDS[_KIND].user,
        host_keys=(),
        status=node.status,
        source=None,
        vpc_id=None,
        problems=(_MAY_LACK_SSHD,) if job.orchestrator == EKS else (),
        session_target=f"sagemaker-cluster:{_id_of(job)}_{node.group}-{node.instance}",
    )


def _refuse_if_over(job: Job) -> None:
    """Raise if the cluster has failed, or is being deleted.

    Raises:
        SmProxyError: `job-failed` or `job-ended`.
    """
    if job.phase == "ended":
        what = f"{NOUN} {job.name} is {job.status}: it has no nodes any more"
        raise SmProxyError("job-ended", what, "Name another cluster.")
    job.refuse_if_over()


def _id_of(job: Job) -> str:
    """The cluster's id, which sessions and its ARN have.

    Raises:
        SmProxyError: `aws-error`, the ARN has another form.
    """
    found = _ARN.fullmatch(job.arn)
    if found is None:
        raise SmProxyError(
            "aws-error",
            f"the ARN of {NOUN} {job.name} has an unknown form: {printable(job.arn, _SHOWN)}",
            "Update sm-proxy: the service may have changed.",
        )
    return found["id"]


def _no_such_node(aws: Aws, job: Job, target: Target) -> SmProxyError:
    what = f"node {target.node}" if target.node else "nodes"
    return SmProxyError(
        "bad-name", f"{NOUN} {job.name} has no {what}", _nodes_there(aws, job, target.prefix)
    )


def _unnamed(aws: Aws, job: Job, target: Target) -> SmProxyError:
    return SmProxyError(
        "bad-name",
        f"{target.host} means the whole {NOUN} {job.name}, and no node of it",
        _nodes_there(aws, job, target.prefix),
    )


def _nodes_there(aws: Aws, job: Job, prefix: str) -> str:
    """Which nodes a host name could name, for a hint."""
    counts = cluster_nodes.count(cluster_nodes.of(aws, job.name))
    if not counts:
        return f"It has no nodes now; it is {job.status}."
    ranges = [f"{name}.1 to {name}.{count}" if count > 1 else f"{name}.1" for name, count in counts]
    example = f"{prefix}{job.name}.{counts[0][0]}.1.{_KIND}"
    return f"Its nodes are {', '.join(ranges)}. Write, for example, {example}."


def _line(item: Mapping[str, Any]) -> Summary:
    status = str(item.get("ClusterStatus", ""))
    return Summary(
        name=str(item["ClusterName"]),
        kind=_KIND,
        status=status,
        phase=_PHASES.get(status, "starting"),
        created=first_time(item.get("CreationTime")),
        failure_reason=str(item.get("FailureMessage", "")),
    )


def _read(answer: Mapping[str, Any]) -> Job:
    line = _line(answer)
    arn = str(answer.get("ClusterArn", ""))
    groups = _groups(answer)
    return Job(
        name=line.name,
        kind=line.kind,
        status=line.status,
        phase=line.phase,
        created=line.created,
        failure_reason=line.failure_reason,
        noun=NOUN,
        # AWS's HyperPod samples: what lifecycle scripts print, a stream for each node.
        log_group=f"/aws/sagemaker/Clusters/{line.name}/{arn.rpartition('/')[2]}",
        status_since=line.created,
        progress=line.status,
        nodes=sum(int(group.get("CurrentCount", 0)) for group in groups),
        instance_type=_one_type(groups),
        console=console_url.link(arn, "cluster-management", line.name),  # as AWS's hyperpod-cli
        arn=arn,
        orchestrator=next(iter(answer.get("Orchestrator") or {}), ""),
    )


def _groups(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    names = ("InstanceGroups", "RestrictedInstanceGroups")
    return [group for name in names for group in answer.get(name) or ()]


def _one_type(groups: Sequence[Mapping[str, Any]]) -> str:
    types = {str(group.get("InstanceType", "")) for group in groups}
    return types.pop() if len(types) == 1 else ""
