"""One HyperPod cluster and its nodes: what SageMaker's descriptions say about them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Final

RUNNING: Final = "Running"
PENDING: Final = "Pending"
_IMAGE: Final = "1.4.0"


@dataclass
class ClusterNode:
    """One node.

    Attributes:
        group: the instance group, as the request for the cluster describes it.
        status: its InstanceStatus.
        address: its private address; empty until its machine runs.
    """

    group: dict[str, Any]
    status: str = PENDING
    message: str = ""
    address: str = ""
    instance: str = field(default_factory=lambda: f"i-{secrets.token_hex(9)[:17]}")
    launched: float = field(default_factory=time.time)

    @property
    def group_name(self) -> str:
        """The name of its instance group."""
        return str(self.group["InstanceGroupName"])

    def summary(self, region: str) -> dict[str, Any]:
        """Its entry in ListClusterNodes."""
        status = {"Status": self.status, **({"Message": self.message} if self.message else {})}
        return {
            "InstanceGroupName": self.group_name,
            "InstanceId": self.instance,
            "InstanceType": self.group["InstanceType"],
            "LaunchTime": round(self.launched, 3),
            "InstanceStatus": status,
            "CurrentImageReleaseVersion": _IMAGE,
            **({"PrivateDnsHostname": self._host_name(region)} if self.address else {}),
        }

    def describe(self, region: str) -> dict[str, Any]:
        """The answer of DescribeClusterNode about it."""
        more = {name: self.group[name] for name in ("LifeCycleConfig",) if name in self.group}
        address = {"PrivatePrimaryIp": self.address} if self.address else {}
        threads = {"ThreadsPerCore": self.group.get("ThreadsPerCore", 1)}
        return self.summary(region) | more | address | threads

    def _host_name(self, region: str) -> str:
        domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
        return f"ip-{self.address.replace('.', '-')}.{domain}"


@dataclass
class Cluster:
    """One cluster.

    Attributes:
        arn: its ARN, which ends with the id.
        request: what CreateCluster was asked.
    """

    arn: str
    request: dict[str, Any]
    region: str
    status: str = "Creating"
    nodes: list[ClusterNode] = field(default_factory=list)
    created: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        """Make the nodes of all groups."""
        for group in self.groups:
            self.nodes += [ClusterNode(group) for _ in range(group["InstanceCount"])]

    @property
    def id(self) -> str:
        """The last part of its ARN."""
        return self.arn.rpartition("/")[2]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.request["ClusterName"])

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Its instance groups, as they were requested."""
        return list(self.request.get("InstanceGroups", []))

    def find(self, instance: str) -> ClusterNode | None:
        """The node with an instance id, if there is one."""
        return next((node for node in self.nodes if node.instance == instance), None)

    def replace(self, node: ClusterNode) -> ClusterNode:
        """Replace the machine of a node: the new one has another id, and is the youngest."""
        self.nodes.remove(node)
        self.nodes.append(made := ClusterNode(node.group))
        return made

    def settle(self) -> None:
        """Put a cluster whose nodes all run into service."""
        if self.status in {"Creating", "Updating"} and all(n.status == RUNNING for n in self.nodes):
            self.status = "InService"

    def summary(self) -> dict[str, Any]:
        """Its entry in ListClusters."""
        return {
            "ClusterArn": self.arn,
            "ClusterName": self.name,
            "CreationTime": round(self.created, 3),
            "ClusterStatus": self.status,
        }

    def describe(self) -> dict[str, Any]:
        """The answer of DescribeCluster."""
        repeated = ("VpcConfig", "Orchestrator", "NodeProvisioningMode", "ClusterRole")
        return {
            **self.summary(),
            "InstanceGroups": [self._described(group) for group in self.groups],
            "NodeRecovery": self.request.get("NodeRecovery", "Automatic"),
            "Orchestrator": {"Slurm": {}},
            **{name: self.request[name] for name in repeated if name in self.request},
        }

    def _described(self, group: dict[str, Any]) -> dict[str, Any]:
        there = sum(n.group is group and n.status != PENDING for n in self.nodes)
        shown = {name: value for name, value in group.items() if name != "InstanceCount"}
        count = {"CurrentCount": there, "TargetCount": group["InstanceCount"]}
        return shown | count | {"Status": self.status}
