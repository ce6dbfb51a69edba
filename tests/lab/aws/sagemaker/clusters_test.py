"""HyperPod clusters: their nodes, lists and sessions."""

from __future__ import annotations

import re
import uuid
from typing import Any

from sm_proxy_lab.machines import role_credentials
from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.iam.identities import allow, client, make_role, session

SSH = {"DocumentName": "AWS-StartSSHSession", "Parameters": {"portNumber": ["22"]}}


def made(lab: Lab, **groups: int) -> tuple[str, str, list[str]]:
    """A new cluster whose nodes run: its name, id and the instance ids of its nodes."""
    name = f"Pod-{uuid.uuid4().hex[:8]}"
    asked = request(name, **groups)
    cluster = lab.client("sagemaker").create_cluster(**asked)["ClusterArn"].rpartition("/")[2]
    instances = [node["InstanceId"] for node in nodes(lab, name)]
    for number, instance in enumerate(instances):
        lab.control.set_node_status(name, instance, "Running", address=f"10.0.0.{number + 10}")
    return name, cluster, instances


def request(name: str, **groups: int) -> dict[str, Any]:
    """A request for a cluster; `_` in the name of a group becomes `-`."""
    return {
        "ClusterName": name,
        "InstanceGroups": [
            {
                "InstanceGroupName": group.replace("_", "-"),
                "InstanceType": "ml.m5.xlarge",
                "InstanceCount": count,
                "ExecutionRole": role_credentials.ARN,
                "LifeCycleConfig": {"SourceS3Uri": "s3://sagemaker-x", "OnCreate": "on.sh"},
            }
            for group, count in groups.items()
        ],
    }


def nodes(lab: Lab, name: str, **asked: Any) -> list[dict[str, Any]]:
    pages = lab.client("sagemaker").get_paginator("list_cluster_nodes")
    found = pages.paginate(ClusterName=name, **asked)
    return [node for page in found for node in page["ClusterNodeSummaries"]]


def test_a_cluster_is_in_service_when_its_last_node_runs(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    name, cluster, instances = made(lab, workers=2)
    lab.control.set_node_status(name, instances[0], "Failure", message="no GPU")
    told = sagemaker.describe_cluster(ClusterName=name)
    assert re.fullmatch(r"[a-z0-9]{12}", cluster)
    assert (told["ClusterStatus"], told["Orchestrator"]) == ("InService", {"Slurm": {}})
    assert told["InstanceGroups"][0]["CurrentCount"] == 2
    assert sagemaker.describe_cluster(ClusterName=told["ClusterArn"])["ClusterName"] == name
    node = sagemaker.describe_cluster_node(ClusterName=name, NodeId=instances[0])["NodeDetails"]
    assert node["InstanceStatus"] == {"Status": "Failure", "Message": "no GPU"}
    assert (node["PrivatePrimaryIp"], node["PrivateDnsHostname"]) == (
        "10.0.0.10",
        "ip-10-0-0-10.ec2.internal",
    )
    again = refusal(sagemaker.create_cluster, ClusterName=name)
    assert again[0] == "ResourceInUse"


def test_nodes_are_filtered_sorted_and_paged(lab: Lab) -> None:
    name, _, instances = made(lab, b=9, a_1=3)
    assert [node["InstanceId"] for node in nodes(lab, name)] == instances
    first = lab.client("sagemaker").list_cluster_nodes(ClusterName=name)
    assert len(first["ClusterNodeSummaries"]) == 10
    by_name = nodes(lab, name, SortBy="NAME", SortOrder="Descending")
    assert [node["InstanceGroupName"] for node in by_name] == ["b"] * 9 + ["a-1"] * 3
    assert len(nodes(lab, name, InstanceGroupNameContains="1")) == 3


def test_a_page_of_clusters_may_be_empty_before_the_last_one(lab: Lab) -> None:
    made(lab, workers=1)
    name, _, _ = made(lab, workers=1)
    pages = lab.client("sagemaker").get_paginator("list_clusters")
    asked = {"NameContains": name, "PaginationConfig": {"PageSize": 1}}
    found = [page["ClusterSummaries"] for page in pages.paginate(**asked)]
    assert [each["ClusterName"] for page in found for each in page] == [name]
    assert [] in found


def test_a_replaced_node_has_another_id_and_comes_last(lab: Lab) -> None:
    name, cluster, (first, second) = made(lab, workers=2)
    replace = lab.client("sagemaker").batch_replace_cluster_nodes
    answer = replace(ClusterName=name, NodeIds=[first, "i-00000000"])
    (failed,) = answer["Failed"]
    assert (answer["Successful"], failed["ErrorCode"]) == ([first], "InstanceIdNotFound")
    kept, new = nodes(lab, name)
    assert (kept["InstanceId"], new["InstanceStatus"]["Status"]) == (second, "Pending")
    ended = lab.event(name, "cluster-node-ended")
    assert ended["target"] == f"sagemaker-cluster:{cluster}_workers-{first}"
    assert new["InstanceId"] not in {first, second}


def test_a_deleted_cluster_leaves_its_name_to_one_with_another_id(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    name, cluster, _ = made(lab, workers=1)
    sagemaker.delete_cluster(ClusterName=name)
    assert sagemaker.describe_cluster(ClusterName=name)["ClusterStatus"] == "Deleting"
    assert nodes(lab, name)[0]["InstanceStatus"]["Status"] == "ShuttingDown"
    lab.control.remove_cluster(name)
    assert refusal(sagemaker.describe_cluster, ClusterName=name)[0] == "ResourceNotFound"
    listed = sagemaker.list_clusters(NameContains=name)["ClusterSummaries"]
    arn = sagemaker.create_cluster(ClusterName=name)["ClusterArn"]
    assert (listed, arn.endswith(cluster)) == ([], False)


def test_a_node_that_runs_accepts_sessions(lab: Lab) -> None:
    ssm = lab.client("ssm")
    name, cluster, (instance,) = made(lab, a_1=1)
    target = f"sagemaker-cluster:{cluster}_a-1-{instance}"
    begun = ssm.start_session(Target=target, **SSH)["SessionId"]
    assert begun in lab.control.sessions()
    lab.control.set_node_status(name, instance, "SystemUpdating")
    assert begun not in lab.control.sessions()
    for wrong in (target, f"sagemaker-cluster:{cluster}_a-{instance}"):
        assert refusal(ssm.start_session, Target=wrong, **SSH)[0] == "TargetNotConnected"
    assert ssm.get_connection_status(Target=target)["Status"] == "notconnected"
    lab.control.set_node_status(name, instance, "Running")
    lab.gateway.without_agent.add(target)
    assert ssm.get_connection_status(Target=target)["Status"] == "notconnected"


def test_policies_name_a_cluster_by_its_id(lab: Lab) -> None:
    name, cluster, (instance,) = made(lab, workers=1)
    arn = f"arn:aws:sagemaker:*:123456789012:cluster/{cluster}"
    document = "arn:aws:ssm:*::document/AWS-StartSSHSession"
    rights = (
        allow("sagemaker:DescribeCluster", arn),
        allow("sagemaker:CreateCluster"),
        allow("ssm:StartSession", arn),
        allow("ssm:StartSession", document),
    )
    keys = session(lab, make_role(lab, *rights))
    sagemaker, ssm = client(lab, "sagemaker", keys), client(lab, "ssm", keys)
    assert sagemaker.describe_cluster(ClusterName=name)["ClusterStatus"] == "InService"
    ssm.start_session(Target=f"sagemaker-cluster:{cluster}_workers-{instance}", **SSH)
    _, words, _ = refusal(sagemaker.create_cluster, **request("of-mine", workers=1))
    assert "iam:PassRole" in words
    other, another, (instance,) = made(lab, workers=1)
    target = f"sagemaker-cluster:{another}_workers-{instance}"
    for call, asked in (
        (sagemaker.describe_cluster, {"ClusterName": other}),
        (ssm.start_session, {"Target": target, **SSH}),
    ):
        code, words, _ = refusal(call, **asked)
        assert code == "AccessDeniedException"
        assert f"cluster/{another}" in words
