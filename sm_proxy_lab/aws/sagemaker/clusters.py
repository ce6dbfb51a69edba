"""SageMaker's operations on HyperPod clusters.

The messages of the errors are assumed: AWS documents their codes only.
"""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws import cluster_ids, page_tokens
from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.sagemaker.cluster import RUNNING, Cluster, ClusterNode

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.sagemaker.tags import Tags

TARGET: Final = "sagemaker-cluster:"
_PAGE: Final = 10
_FOREVER: Final = float("inf")


def target(cluster: Cluster, node: ClusterNode) -> str:
    """The name of a node for StartSession of Systems Manager."""
    return f"{TARGET}{cluster.id}_{node.group_name}-{node.instance}"


class Clusters:
    """The clusters of all regions.

    `emit` reports `cluster-node` (a machine is wanted) and `cluster-node-ended`.
    """

    def __init__(self, tags: Tags, emit: Callable[..., None]) -> None:
        self._tags = tags
        self._emit = emit
        self._lock = threading.RLock()
        self._clusters: dict[tuple[str, str], Cluster] = {}
        self.operations = {
            "CreateCluster": self._create,
            "DescribeCluster": self._describe,
            "ListClusters": self._list,
            "ListClusterNodes": self._list_nodes,
            "DescribeClusterNode": self._describe_node,
            "BatchReplaceClusterNodes": self._replace,
            "DeleteCluster": self._delete,
        }

    def accepts_sessions(self, region: str, name: str) -> bool:
        """Whether StartSession's Target is a node that runs."""
        with self._lock:
            return any(
                target(cluster, node) == name and node.status == RUNNING
                for cluster in self._clusters.values()
                if cluster.region == region
                for node in cluster.nodes
            )

    def move(
        self,
        name: str,
        instance: str,
        status: str,
        *,
        message: str | None = None,
        address: str | None = None,
    ) -> dict[str, Any]:
        """Set the status of a node; return its description.

        Args:
            name: the cluster, in whatever region.
            instance: the node's instance id.
            status: an InstanceStatus, such as Failure.
            message: the reason.
            address: the node's private address; None leaves it as it is.

        Raises:
            KeyError: there is no such node.
        """
        with self._lock:
            for cluster in self._clusters.values():
                node = cluster.find(instance) if cluster.name == name else None
                if node is not None:
                    node.status, node.message = status, message or ""
                    node.address = node.address if address is None else address
                    cluster.settle()
                    return node.describe(cluster.region)
        raise KeyError(f"{name}: {instance}")

    def remove(self, name: str) -> None:
        """Forget the deleted clusters of that name: their machines have ended."""
        with self._lock:
            for (region, known), cluster in list(self._clusters.items()):
                if known == name and cluster.status == "Deleting":
                    del self._clusters[region, known]
                    cluster_ids.forget(region, known)

    # ---- operations ----

    def _create(self, call: Call) -> dict[str, Any]:
        name, tags = call.params["ClusterName"], call.params.get("Tags", [])
        self._tags.check(tags)
        with self._lock:
            if (call.region, name) in self._clusters:
                message = f"Cluster with name {name} already exists. Choose a different name."
                raise AwsError("ResourceInUse", f"Resource Already Exists: {message}")
            arn = call.arn("sagemaker", f"cluster/{cluster_ids.new(call.region, name)}")
            cluster = Cluster(arn, copy.deepcopy(call.params), call.region)
            self._clusters[call.region, name] = cluster
            self._tags.keep(arn, tags)
            for node in cluster.nodes:
                self._start(cluster, node)
        return {"ClusterArn": arn}

    def _describe(self, call: Call) -> dict[str, Any]:
        with self._lock:
            return copy.deepcopy(self._find(call).describe())

    def _list(self, call: Call) -> dict[str, Any]:
        part = call.params.get("NameContains", "")
        with self._lock:
            found = [
                (cluster.created, cluster.name, cluster.summary())
                for cluster in self._clusters.values()
                if cluster.region == call.region
            ]
        page = _page(found, call, "ClusterSummaries")
        # MaxResults is how many clusters are looked at, so a page may be empty before the last one.
        page["ClusterSummaries"] = [
            each
            for each in page["ClusterSummaries"]
            if part in each["ClusterName"] and "TrainingPlanArn" not in call.params
        ]
        return page

    def _list_nodes(self, call: Call) -> dict[str, Any]:
        part = call.params.get("InstanceGroupNameContains", "")
        with self._lock:
            cluster = self._find(call)
            found = [
                (node.launched, node.group_name, node.summary(call.region))
                for node in cluster.nodes
                if part in node.group_name
            ]
        return _page(found, call, "ClusterNodeSummaries")

    def _describe_node(self, call: Call) -> dict[str, Any]:
        with self._lock:
            node = self._find(call).find(call.params.get("NodeId", ""))
            if node is None:
                raise AwsError("ResourceNotFound", "Could not find the node in the cluster.")
            return {"NodeDetails": copy.deepcopy(node.describe(call.region))}

    def _replace(self, call: Call) -> dict[str, Any]:
        replaced, failed = [], []
        with self._lock:
            cluster = self._find(call)
            for instance in call.params.get("NodeIds", []):
                node = cluster.find(instance)
                if node is None:
                    reason = {"ErrorCode": "InstanceIdNotFound", "Message": "no such node"}
                    failed.append({"NodeId": instance, **reason})
                    continue
                self._end(cluster, node)
                self._start(cluster, cluster.replace(node))
                replaced.append(instance)
        return {"Successful": replaced, "Failed": failed}

    def _delete(self, call: Call) -> dict[str, Any]:
        with self._lock:
            cluster = self._find(call)
            cluster.status = "Deleting"
            for node in cluster.nodes:
                node.status = "ShuttingDown"
                self._end(cluster, node)
            prefix = f"{TARGET}{cluster.id}_"
            self._emit("cluster-deleted", kind="cluster", job=cluster.name, target=prefix)
        return {"ClusterArn": cluster.arn}

    def _find(self, call: Call) -> Cluster:
        wanted = call.params["ClusterName"]
        for (region, name), cluster in self._clusters.items():
            if region == call.region and wanted in {name, cluster.arn}:
                return cluster
        raise AwsError("ResourceNotFound", f"Cluster with name {wanted} not found.")

    def _start(self, cluster: Cluster, node: ClusterNode) -> None:
        group, vpc = node.group_name, cluster.request.get("VpcConfig", {})
        members = {"region": cluster.region, "instance": node.instance, "group": group, "vpc": vpc}
        members["ssh"] = "Eks" not in cluster.request.get("Orchestrator", {})
        where = target(cluster, node)
        self._emit("cluster-node", kind="cluster", job=cluster.name, target=where, **members)

    def _end(self, cluster: Cluster, node: ClusterNode) -> None:
        ended = {"instance": node.instance, "target": target(cluster, node)}
        self._emit("cluster-node-ended", kind="cluster", job=cluster.name, **ended)


def _page(
    found: list[tuple[float, str, dict[str, Any]]], call: Call, member: str
) -> dict[str, Any]:
    """One page of summaries, each with its time and name."""
    params = call.params
    first, last = params.get("CreationTimeAfter", 0), params.get("CreationTimeBefore", _FOREVER)
    kept = [each for each in found if first <= each[0] <= last]
    by_name = params.get("SortBy") == "NAME"
    kept.sort(
        key=lambda each: (each[1], each[0]) if by_name else each[0],
        reverse=params.get("SortOrder") == "Descending",
    )
    invalid = AwsError("ValidationException", "Invalid pagination token.")
    size = params.get("MaxResults", _PAGE)
    shown, token = page_tokens.page(kept, params.get("NextToken"), size, invalid)
    answer: dict[str, Any] = {member: [summary for _, _, summary in shown]}
    return answer | ({"NextToken": token} if token else {})
