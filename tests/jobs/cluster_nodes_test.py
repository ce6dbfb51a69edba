"""The nodes of a HyperPod cluster: which there are, and which number each has."""

from __future__ import annotations

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import cluster_nodes
from tests.jobs.cluster_account import NODES, ClusterAws, instance, node


def labels(aws: ClusterAws, group: str = "") -> dict[str, str]:
    return {each.label: each.instance for each in cluster_nodes.of(aws, "c", group)}


def test_nodes_are_numbered_in_their_group_by_launch_and_id() -> None:
    nodes = [
        node("workers", 9, hours=1),
        *NODES,
        node("workers", 1, hours=2),
    ]
    nodes.reverse()
    assert labels(ClusterAws(*nodes), "workers") == {
        "workers.1": instance(2),
        "workers.2": instance(3),
        "workers.3": instance(9),
        "workers.4": instance(1),
    }


@pytest.mark.parametrize("page", [1, 3, 100])
def test_every_page_is_read(page: int) -> None:
    assert list(labels(ClusterAws(page=page))) == [
        *("login.1", "workers.1", "workers.2", "workers-1.1"),
    ]


def test_a_group_whose_name_contains_another_is_not_that_group() -> None:
    assert labels(ClusterAws(), "workers-1") == {"workers-1.1": instance(4)}
    assert labels(ClusterAws(), "work") == {}


@pytest.mark.parametrize("status", ["ShuttingDown", "DetachInProgress", "NotFound"])
def test_a_node_that_leaves_has_no_number(status: str) -> None:
    aws = ClusterAws(node("workers", 1, status), node("workers", 2), node("workers", 3))
    assert labels(aws) == {
        "workers.1": instance(2),
        "workers.2": instance(3),
        f"workers.{instance(1)}": instance(1),
    }
    assert cluster_nodes.count(cluster_nodes.of(aws, "c")) == [("workers", 2)]


@pytest.mark.parametrize(
    "change", [{"InstanceId": "i-1/../../x"}, {"InstanceGroupName": "a_b"}, {"InstanceId": ""}]
)
def test_a_node_with_an_impossible_name_is_left_out(change: dict[str, str]) -> None:
    assert list(labels(ClusterAws(node("workers", 1) | change, node("login", 2)))) == ["login.1"]


def test_a_failed_call_is_an_error() -> None:
    aws = ClusterAws(ListClusterNodes=ServiceError("InternalError", "oops", "x"))
    with pytest.raises(SmProxyError, match="oops"):
        cluster_nodes.of(aws, "c")
