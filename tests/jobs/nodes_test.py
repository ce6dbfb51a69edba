from __future__ import annotations

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import nodes
from sm_proxy.settings import Settings
from tests.fakes import FakeAws, description

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
def test_what_has_no_nodes_is_refused(name: str, aws: FakeAws, code: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        hosts(name, aws)
    assert caught.value.code == code
