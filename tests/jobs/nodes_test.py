from __future__ import annotations

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import nodes
from sm_proxy.settings import Settings
from tests.fakes import FakeAws, description
from tests.jobs.cluster_account import ClusterAws, instance, node
from tests.jobs.studio_account import Space, Studio

SETTINGS = Settings()
GONE = ServiceError("ValidationException", "Requested resource not found.", "x")


def account(count: int, status: str = "Training", overall: str = "InProgress") -> FakeAws:
    """An account with a training job of so many nodes."""
    return FakeAws(
        DescribeTrainingJob=description(status, overall, ResourceConfig={"InstanceCount": count})
    )


def hosts(name: str, aws: FakeAws) -> tuple[str, ...]:
    return nodes.find(nodes.parse(name, "sm-"), SETTINGS, aws).hosts


@pytest.mark.parametrize("name", ["sm-my-job", "sm-my-job.*"])
def test_each_node_has_a_host_name(name: str) -> None:
    aws = account(3)
    assert hosts(name, aws) == ("sm-my-job.algo-1", "sm-my-job.algo-2", "sm-my-job.algo-3")
    assert aws.operations() == ["DescribeTrainingJob"]


def test_a_job_with_one_node_has_its_plain_name() -> None:
    assert hosts("sm-my-job.*", account(1)) == ("sm-my-job",)


def test_a_kind_stays_in_the_host_names() -> None:
    expected = tuple(f"sm-my-job.algo-{number}.training" for number in (1, 2))
    assert hosts("sm-my-job.*.training", account(2)) == expected


def test_a_named_node_is_the_only_one() -> None:
    assert hosts("sm-my-job.2", account(3)) == ("sm-my-job.algo-2",)


def test_the_names_are_those_of_the_job_that_was_found() -> None:
    found = {"TrainingJobName": "my-job", "TrainingJobStatus": "InProgress"}
    listed = {"TrainingJobSummaries": [{**found, "SecondaryStatus": "Training"}]}
    described = [GONE, description(ResourceConfig={"InstanceCount": 2})]
    others = ("DescribeProcessingJob", "DescribeTransformJob", "DescribeEndpoint")
    aws = FakeAws(
        DescribeTrainingJob=described,
        ListTrainingJobs=listed,
        **dict.fromkeys(others, GONE),
    )
    assert hosts("sm-my", aws) == ("sm-my-job.algo-1", "sm-my-job.algo-2")


@pytest.mark.parametrize(
    ("name", "aws", "code"),
    [
        ("sm-my-job", account(2, "Completed", "Completed"), "job-ended"),
        ("sm-my-job", account(2, "Failed", "Failed"), "job-failed"),
        ("sm-my-job.3", account(2), "bad-name"),
        ("sm-my-job.2.*", account(2), "bad-name"),
        ("sm-my-job.*.*", account(2), "bad-name"),
        ("sm-my*", account(2), "bad-name"),
    ],
)
def test_a_kind_without_nodes_is_refused(name: str, aws: FakeAws, code: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        hosts(name, aws)
    assert caught.value.code == code


CLUSTER = [f"sm-c.{label}.hyperpod" for label in ("login.1", "workers.1", "workers.2")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sm-c.hyperpod", [*CLUSTER, "sm-c.workers-1.1.hyperpod"]),
        ("sm-c.*.hyperpod", [*CLUSTER, "sm-c.workers-1.1.hyperpod"]),
        ("sm-c.hyperpod.*", [*CLUSTER, "sm-c.workers-1.1.hyperpod"]),
        ("sm-c.workers.*.hyperpod", CLUSTER[1:]),
        ("sm-c.workers.hyperpod.*", CLUSTER[1:]),
        ("sm-c.workers.2.hyperpod", CLUSTER[2:]),
        (f"sm-c.workers.{instance(2)}.hyperpod", [f"sm-c.workers.{instance(2)}.hyperpod"]),
    ],
)
def test_nodes_of_a_cluster_of_a_group_and_one_by_one(name: str, expected: list[str]) -> None:
    aws = ClusterAws()
    assert hosts(name, aws) == tuple(expected)
    assert aws.operations() == ["DescribeCluster", "ListClusterNodes"]


def test_cluster_nodes_that_do_not_run_are_left_out_and_reported() -> None:
    aws = ClusterAws(node("w", 1), node("w", 2, "Pending"), node("w", 3), node("w", 4, "Failure"))
    said: list[str] = []
    found = nodes.find(nodes.parse("sm-c.*.hyperpod", "sm-"), SETTINGS, aws, said.append)
    assert found.hosts == ("sm-c.w.1.hyperpod", "sm-c.w.3.hyperpod")
    assert [each.instance for each in found.members] == [instance(1), instance(3)]
    assert said == ["left out, not Running: w.2 (Pending), w.4 (Failure)"]


def test_a_cluster_of_which_nothing_runs_has_no_hosts() -> None:
    with pytest.raises(SmProxyError, match=r"no node of HyperPod cluster c runs") as caught:
        hosts("sm-c.hyperpod", ClusterAws(node("w", 1, "Pending")))
    assert caught.value.code == "no-address"


@pytest.mark.parametrize(
    "name",
    ["sm-c.nothing.*.hyperpod", "sm-c.workers.1.*.hyperpod", "sm-c.-x.*.hyperpod", "sm-c.*.*"],
)
def test_names_that_mean_no_nodes_of_a_cluster(name: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        hosts(name, ClusterAws())
    assert caught.value.code == "bad-name"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sm-Work.space", "sm-Work.space"),
        ("sm-Work.*.space", "sm-Work.space"),
        ("sm-Work.d-one.space", "sm-Work.d-one.space"),
        ("sm-wo.space", "sm-Work.d-one.space"),
    ],
)
def test_a_space_is_one_host(name: str, expected: str) -> None:
    assert hosts(name, Studio(Space("Work"))) == (expected,)
