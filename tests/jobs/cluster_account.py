"""A fake account with HyperPod clusters, for tests."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from sm_proxy.aws.errors import ServiceError
from tests.fakes import Answers, FakeAws

GONE = ServiceError("ResourceNotFound", "Cluster not found.", "sagemaker:DescribeCluster")
ID = "abcdefghij12"
ARN = f"arn:aws:sagemaker:eu-west-1:111122223333:cluster/{ID}"
BEGAN = datetime(2026, 11, 23, tzinfo=timezone.utc)


def instance(number: int) -> str:
    return f"i-{number:017x}"


def node(
    group: str, number: int, status: str = "Running", *, hours: int = 0, message: str = ""
) -> dict[str, Any]:
    """An entry of ListClusterNodes; its instance id has the number."""
    return {
        "InstanceGroupName": group,
        "InstanceId": instance(number),
        "InstanceType": "ml.p5.48xlarge" if group.startswith("workers") else "ml.m5.xlarge",
        "LaunchTime": BEGAN + timedelta(hours=hours),
        "InstanceStatus": {"Status": status, **({"Message": message} if message else {})},
    }


NODES = (node("workers", 3), node("workers", 2), node("login", 1), node("workers-1", 4))
"""Two workers, a login node, and a group whose name contains that of another."""


class ClusterAws(FakeAws):
    """An account with clusters `c` and perhaps others; pages have `page` nodes."""

    def __init__(
        self,
        *nodes: dict[str, Any],
        page: int = 100,
        clusters: tuple[str, ...] = ("c",),
        cluster: dict[str, Any] | None = None,
        **answers: Answers,
    ) -> None:
        self.nodes = list(nodes or NODES)
        self.clusters = clusters
        self._page, self._changes = page, cluster or {}
        known: dict[str, Answers] = {
            "DescribeCluster": self._describe,
            "ListClusters": self._list,
            "ListClusterNodes": self._list_nodes,
        }
        super().__init__(**{**known, **answers})

    def _describe(self, ClusterName: str) -> dict[str, Any]:  # noqa: N803
        if ClusterName not in self.clusters:
            raise GONE
        groups: dict[str, dict[str, Any]] = {}
        for item in self.nodes:
            group = groups.setdefault(
                item["InstanceGroupName"],
                {"CurrentCount": 0, "InstanceType": item["InstanceType"]},
            )
            group["CurrentCount"] += 1
        return {
            "ClusterArn": ARN,
            "ClusterName": ClusterName,
            "ClusterStatus": "InService",
            "CreationTime": BEGAN,
            "InstanceGroups": list(groups.values()),
            "Orchestrator": {"Slurm": {}},
            **self._changes,
        }

    def _list(self, NameContains: str = "", **order: Any) -> dict[str, Any]:  # noqa: N803
        assert order == {"SortBy": "CREATION_TIME", "SortOrder": "Descending", "MaxResults": 100}
        items = [
            {"ClusterName": name, "ClusterStatus": "InService", "CreationTime": BEGAN}
            for name in self.clusters
            if NameContains in name
        ]
        return {"ClusterSummaries": items}

    def _list_nodes(
        self,
        ClusterName: str,  # noqa: N803
        MaxResults: int,  # noqa: N803
        InstanceGroupNameContains: str = "",  # noqa: N803
        NextToken: str = "0",  # noqa: N803
    ) -> dict[str, Any]:
        assert ClusterName in self.clusters
        assert MaxResults == 100
        first = int(NextToken)
        found = [
            item for item in self.nodes if InstanceGroupNameContains in item["InstanceGroupName"]
        ]
        more = {"NextToken": str(first + self._page)} if len(found) > first + self._page else {}
        return {"ClusterNodeSummaries": found[first : first + self._page], **more}
