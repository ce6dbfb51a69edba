"""HyperPod clusters: how one is found, and which node of it a host name means."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy import resolver
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname, lookup
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.kinds import hyperpod
from sm_proxy.settings import Settings
from tests.jobs.cluster_account import ARN, BEGAN, ID, ClusterAws, instance, node


def found(aws: ClusterAws, host: str) -> tuple[Job, list[str]]:
    said: list[str] = []
    return lookup.find(aws, hostname.parse(host, "sm-"), said.append), said


def looked(aws: ClusterAws, host: str) -> Container | Job | None:
    target = hostname.parse(host, "sm-")
    return hyperpod.container(aws, lookup.find(aws, target), target)


def container(aws: ClusterAws, host: str) -> Container:
    found = looked(aws, host)
    assert isinstance(found, Container)
    return found


def resolved(aws: ClusterAws, host: str) -> list[str]:
    """All calls until now, after a look as that of a connection."""
    found = resolver.resolve(hostname.parse(host, "sm-"), Settings(), aws)
    number = int(host.split(".")[-2])
    assert (found.host, found.node) == (host, f"workers.{instance(number)}")
    return aws.operations()


def refused(aws: ClusterAws, host: str) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        looked(aws, host)
    assert caught.value.line.isprintable()
    assert caught.value.hint
    return caught.value


def test_a_cluster_is_described_by_its_name_in_one_call() -> None:
    aws = ClusterAws()
    job, said = found(aws, "sm-c.workers.1.hyperpod")
    assert aws.calls == [("DescribeCluster", {"ClusterName": "c"})]
    assert said == []
    assert (job.name, job.kind, job.noun, job.status) == (
        *("c", "hyperpod", "HyperPod cluster", "InService"),
    )
    assert (job.phase, job.nodes, job.instance_type) == ("running", 4, "")
    assert (job.arn, job.orchestrator, job.created) == (ARN, "Slurm", BEGAN)
    assert job.log_group == f"/aws/sagemaker/Clusters/c/{ID}"
    assert job.console.startswith("https://eu-west-1.console.aws.amazon.com/sagemaker/")


def test_nodes_of_restricted_groups_count() -> None:
    group = {"CurrentCount": 2, "InstanceType": "ml.p5.48xlarge"}
    job, _ = found(
        ClusterAws(cluster={"InstanceGroups": [group], "RestrictedInstanceGroups": [group]}),
        "sm-c.hyperpod",
    )
    assert (job.nodes, job.instance_type) == (4, "ml.p5.48xlarge")


@pytest.mark.parametrize(
    ("typed", "name"), [("TRAIN", "Train"), ("big", "big-cluster"), ("latest", "Train")]
)
def test_another_case_and_a_beginning_mean_the_cluster(typed: str, name: str) -> None:
    aws = ClusterAws(clusters=("Train", "big-cluster"))
    job, said = found(aws, f"sm-{typed}.hyperpod")
    assert job.name == name
    assert said == [
        f"sm-{typed}.hyperpod is {name}"
        + (", the newest of 2 running" if typed == "latest" else "")
    ]


def test_near_names_are_suggested() -> None:
    error = refused(ClusterAws(clusters=("train-a",)), "sm-trian-a.workers.1.hyperpod")
    assert (error.code, error.hint) == (
        "job-not-found",
        "Did you mean `sm-train-a.workers.1.hyperpod`?",
    )
    assert "no HyperPod cluster trian-a in eu-west-1" in error.message


def test_a_denied_list_is_named() -> None:
    denied = SmProxyError("access-denied", "sagemaker:ListClusters is denied", "ask")
    error = refused(ClusterAws(clusters=(), ListClusters=denied), "sm-x.hyperpod")
    assert "the list of HyperPod clusters (sagemaker:ListClusters)" in error.message


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        *(("Creating", "starting"), ("InService", "running"), ("Updating", "running")),
        *(("SystemUpdating", "running"), ("RollingBack", "running")),
        *(("Deleting", "ended"), ("Failed", "failed"), ("SomethingNew", "starting")),
    ],
)
def test_the_status_tells_the_phase(status: str, phase: str) -> None:
    aws = ClusterAws(cluster={"ClusterStatus": status})
    assert found(aws, "sm-c.hyperpod")[0].phase == phase


def test_only_clusters_that_live_are_listed_as_live() -> None:
    items = [
        {"ClusterName": name, "ClusterStatus": status, "CreationTime": BEGAN}
        for name, status in (("a", "InService"), ("b", "Deleting"), ("d", "Failed"))
    ]
    aws = ClusterAws(ListClusters={"ClusterSummaries": items})
    assert [item.name for item in hyperpod.recent(aws)] == ["a", "b", "d"]
    assert [item.name for item in hyperpod.recent(aws, live=True)] == ["a"]


@pytest.mark.parametrize("which", ["2", instance(3)])
def test_a_node_is_reached_by_its_number_or_its_id(which: str) -> None:
    aws = ClusterAws()
    got = container(aws, f"sm-c.workers.{which}.hyperpod")
    assert got.session_target == f"sagemaker-cluster:{ID}_workers-{instance(3)}"
    assert (got.host, got.job, got.kind) == (f"sm-c.workers.{which}.hyperpod", "c", "hyperpod")
    assert got.node == f"workers.{instance(3)}"
    assert (got.address, got.port, got.user, got.status) == (None, 22, "ubuntu", "Running")
    assert (got.host_keys, got.source, got.vpc_id, got.problems) == ((), None, None, ())
    assert aws.operations() == ["DescribeCluster", "ListClusterNodes"]


def test_hyphens_in_a_group_do_not_mix_nodes_up() -> None:
    got = container(ClusterAws(), "sm-c.workers-1.1.hyperpod")
    assert got.session_target.endswith(f"_workers-1-{instance(4)}")


def test_a_cluster_on_eks_may_have_no_sshd() -> None:
    got = container(ClusterAws(cluster={"Orchestrator": {"Eks": {}}}), "sm-c.login.1.hyperpod")
    assert "EKS" in got.problems[0]


@pytest.mark.parametrize(
    ("host", "what"),
    [
        ("sm-c.workers.3.hyperpod", "has no node workers.3"),
        ("sm-c.Workers.1.hyperpod", "has no node Workers.1"),
        (f"sm-c.workers.{instance(1)}.hyperpod", f"has no node workers.{instance(1)}"),
        ("sm-c.hyperpod", "means the whole HyperPod cluster c"),
    ],
)
def test_a_name_without_a_node_lists_the_nodes_there_are(host: str, what: str) -> None:
    error = refused(ClusterAws(), host)
    assert error.code == "bad-name"
    assert what in error.message
    assert "login.1, workers.1 to workers.2, workers-1.1" in error.hint
    assert "sm-c.login.1.hyperpod" in error.hint


def test_a_cluster_without_nodes_says_so() -> None:
    aws = ClusterAws(cluster={"ClusterStatus": "Updating"})
    aws.nodes = []
    assert "no nodes now" in refused(aws, "sm-c.workers.1.hyperpod").hint


@pytest.mark.parametrize(
    "status", ["Pending", "SystemUpdating", "DeepHealthCheckInProgress", "AttachInProgress"]
)
def test_a_node_that_starts_is_waited_for(status: str) -> None:
    aws = ClusterAws(node("workers", 1, status, message="boots"))
    found = looked(aws, "sm-c.workers.1.hyperpod")
    assert isinstance(found, Job)
    assert (found.noun, found.name) == ("node workers.1 of HyperPod cluster", "c")
    assert (found.status, found.progress) == (status, f"workers.1 is {status}: boots")


def test_a_wait_for_a_node_ends_in_words_about_the_node() -> None:
    aws = ClusterAws(node("workers", 1, "Pending"))
    with pytest.raises(SmProxyError) as caught:
        resolver.resolve(hostname.parse("sm-c.workers.1.hyperpod", "sm-"), Settings(), aws, wait=0)
    assert caught.value.code == "no-address"
    assert "node workers.1 of HyperPod cluster c is Pending" in caught.value.message


def test_a_node_is_asked_for_once_and_then_cached() -> None:
    aws, target = ClusterAws(), hostname.parse("sm-c.workers.1.hyperpod", "sm-")
    first = resolver.resolve(target, Settings(), aws)
    assert aws.operations() == ["DescribeCluster", "ListClusterNodes"]
    again = resolver.resolve(target, Settings(), aws)
    assert aws.operations() == ["DescribeCluster", "ListClusterNodes"]
    assert again.cached
    assert again.same_place(first)


def test_connections_to_many_nodes_of_a_group_list_them_once() -> None:
    aws = ClusterAws(*(node("workers", number) for number in range(1, 65)), page=10)
    calls = len(resolved(aws, "sm-c.workers.1.hyperpod"))
    assert calls == 1 + 7
    for number in range(2, 65):
        assert resolved(aws, f"sm-c.workers.{number}.hyperpod") == aws.operations()[:calls]


def test_a_replacement_shifts_the_cached_numbers_of_nodes() -> None:
    aws = ClusterAws(*(node("workers", number) for number in (1, 2, 3)))
    resolved(aws, "sm-c.workers.1.hyperpod")
    aws.nodes = [node("workers", 2), node("workers", 3), node("workers", 4, hours=1)]
    first, second = (hostname.parse(f"sm-c.workers.{n}.hyperpod", "sm-") for n in (1, 2))
    resolver.resolve(first, Settings(), aws, fresh=True)  # as after TargetNotConnected
    assert resolver.resolve(second, Settings(), aws).node == f"workers.{instance(3)}"


def test_nodes_of_a_cluster_that_is_created_are_waited_for() -> None:
    aws = ClusterAws(cluster={"ClusterStatus": "Creating"})
    aws.nodes = []
    assert looked(aws, "sm-c.workers.2.hyperpod") is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *(("Failure", "job-failed"), ("ShuttingDown", "job-ended")),
        *(("SomethingNew", "no-address"), ("", "no-address")),
    ],
)
def test_another_status_is_named_with_its_message(status: str, code: str) -> None:
    aws = ClusterAws(node("workers", 1, status, message="it\nis\x1b[2Jbad"))
    error = refused(aws, f"sm-c.workers.{instance(1)}.hyperpod")
    assert error.code == code
    assert f"is {status}: it" in error.message
    if status == "Failure":
        assert f"/aws/sagemaker/Clusters/c/{ID}" in error.hint
        assert f"LifecycleConfig/workers/{instance(1)}" in error.hint


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"ClusterStatus": "Failed", "FailureMessage": "no quota"}, "job-failed", "no quota"),
        ({"ClusterStatus": "Deleting"}, "job-ended", "is Deleting"),
        ({"ClusterArn": "arn:aws:sagemaker:x:1:cluster/../x"}, "aws-error", "unknown form"),
    ],
)
def test_a_cluster_without_a_way_in_is_refused(
    changes: dict[str, Any], code: str, words: str
) -> None:
    error = refused(ClusterAws(cluster=changes), "sm-c.workers.1.hyperpod")
    assert error.code == code
    assert words in error.message


def test_a_cluster_is_not_stopped_but_deleted() -> None:
    with pytest.raises(SmProxyError, match="cannot be stopped") as caught:
        hyperpod.stop_call("c")
    assert caught.value.code == "unsupported"
    assert "delete-cluster --cluster-name c" in caught.value.hint


def test_after_a_replacement_no_two_numbers_lead_to_one_node() -> None:
    aws = ClusterAws(*(node("workers", number) for number in (1, 2, 3)))

    def known(number: int) -> str:
        target = hostname.parse(f"sm-c.workers.{number}.hyperpod", "sm-")
        return resolver.resolve(target, Settings(), aws).node.partition(".")[2]

    assert [known(number) for number in (1, 2, 3)] == [instance(1), instance(2), instance(3)]
    aws.nodes = [node("workers", 2), node("workers", 3), node("workers", 4, hours=1)]
    first = hostname.parse("sm-c.workers.1.hyperpod", "sm-")
    resolver.resolve(first, Settings(), aws, fresh=True)  # as after TargetNotConnected
    assert [known(number) for number in (1, 2, 3)] == [instance(2), instance(3), instance(4)]
