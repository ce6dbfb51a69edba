"""HyperPod clusters in a lab, for the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.e2e.labs import Lab
from tests.waits import await_true

_NODES = """
_pages = client("sagemaker").get_paginator("list_cluster_nodes")
answer = [
    [node["InstanceGroupName"], node["InstanceId"], node["InstanceStatus"]["Status"]]
    for page in _pages.paginate(ClusterName={!r})
    for node in sorted(
        page["ClusterNodeSummaries"], key=lambda node: (node["LaunchTime"], node["InstanceId"])
    )
]
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster that the lab was started with (`--cluster`), or that a test has made."""

    lab: Lab
    name: str

    def host(self, group: str = "", node: int | str = 1) -> str:
        """The host name of a node, by its number in its group or by its instance id."""
        return f"sm-{self.name}.{group}.{node}.hyperpod" if group else f"sm-{self.name}.hyperpod"

    def nodes(self, group: str | None = None) -> list[str]:
        """The instance ids in the order of the nodes' numbers; at most ten nodes."""
        return [node[1] for node in self._nodes() if group in {None, node[0]}]

    def replace(self, instance: str) -> str:
        """Replace a node; return the instance id of the new one, once it accepts sessions."""
        before = set(self.nodes())
        self._call(
            f"batch_replace_cluster_nodes(NodeIds=[{instance!r}], ClusterName={self.name!r})"
        )
        self.settle()
        (made,) = set(self.nodes()) - before
        return made

    def machine(self, instance: str) -> str:
        """The host name of a node's machine: it has the node's address."""
        call = f"describe_cluster_node(ClusterName={self.name!r}, NodeId={instance!r})"
        address = self._call(f"{call}['NodeDetails']['PrivatePrimaryIp']")
        return f"ip-{address.replace('.', '-')}"

    def settle(self) -> None:
        """Wait until all nodes run."""
        await_true(lambda: all(node[2] == "Running" for node in self._nodes()), 60, self._nodes)

    def set_status(self, instance: str, status: str, message: str = "") -> None:
        """Set the InstanceStatus of a node; its machine runs on."""
        self.lab.control("set_node_status", self.name, instance, status, message=message)

    def target(self, instance: str) -> str:
        """The name of a node for StartSession."""
        group = next(node[0] for node in self._nodes() if node[1] == instance)
        arn = self._call(f"describe_cluster(ClusterName={self.name!r})['ClusterArn']")
        return f"sagemaker-cluster:{arn.rpartition('/')[2]}_{group}-{instance}"

    def _nodes(self) -> list[list[str]]:
        return list(self.lab.python(_NODES.format(self.name)))

    def _call(self, call: str) -> Any:
        return self.lab.python(f"answer = client('sagemaker').{call}")
