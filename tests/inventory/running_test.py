from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.config_writer import Stub
from sm_proxy.errors import SmProxyError
from sm_proxy.inventory import running
from sm_proxy.inventory.running import RunningHosts
from sm_proxy.settings import Settings
from tests.fakes import (
    DESCRIBES,
    EVERY_LIST,
    SUBNETS,
    Answers,
    FakeAws,
    description,
    events,
    marker_line,
    streams,
)
from tests.jobs.cluster_account import ClusterAws
from tests.jobs.studio_account import Space, Studio

NOW = datetime.now(timezone.utc)
ABSENT = ServiceError("ValidationException", "Requested resource not found.", "x")
DENIED = SmProxyError("access-denied", "denied", "ask")


def training(*names: str, status: str = "Training") -> dict[str, Any]:
    return {
        "TrainingJobSummaries": [
            {
                "TrainingJobName": name,
                "TrainingJobStatus": "InProgress",
                "SecondaryStatus": status,
                "CreationTime": NOW - timedelta(minutes=number),
            }
            for number, name in enumerate(names)
        ]
    }


def processing(name: str) -> dict[str, Any]:
    line = {"ProcessingJobName": name, "ProcessingJobStatus": "InProgress", "CreationTime": NOW}
    return {"ProcessingJobSummaries": [line]}


def described(**changes: Any) -> Callable[..., dict[str, Any]]:
    def answer(TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        found = description(**changes)
        assert isinstance(found, dict)
        return {**found, "TrainingJobName": TrainingJobName}

    return answer


def described_processing(ProcessingJobName: str) -> dict[str, Any]:  # noqa: N803
    return {
        "ProcessingJobName": ProcessingJobName,
        "ProcessingJobStatus": "InProgress",
        "CreationTime": NOW,
        "ProcessingStartTime": NOW,
        "NetworkConfig": {"VpcConfig": {"Subnets": ["subnet-1"]}},
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1}},
    }


def streams_of(logStreamNamePrefix: str, **_: Any) -> dict[str, Any]:  # noqa: N803
    return streams(f"{logStreamNamePrefix}1700000000")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeAws]:
    """An account with the training job bert; arguments change its answers."""

    def made(**changes: Answers) -> FakeAws:
        answers: dict[str, Answers] = {
            **{name: {} for name in EVERY_LIST},
            **dict.fromkeys(DESCRIBES, ABSENT),
            "ListTrainingJobs": training("bert"),
            "DescribeTrainingJob": described(),
            "DescribeLogStreams": streams_of,
            "GetLogEvents": events(marker_line(user="ubuntu")),
            "DescribeSubnets": SUBNETS,
        }
        fake = FakeAws(**{**answers, **changes})
        monkeypatch.setattr(running, "Aws", lambda *_: fake)
        return fake

    return made


def running_hosts(*prefixes: str, **settings: Any) -> RunningHosts:
    return RunningHosts(Settings(**settings), {"sm-", *prefixes}, lambda _: None)


def test_a_stub_has_the_user_from_the_log(aws: Callable[..., FakeAws]) -> None:
    aws()
    assert running_hosts().stubs() == [Stub("sm-bert", "ubuntu", "training job")]


def test_a_second_look_calls_the_lists_only(aws: Callable[..., FakeAws]) -> None:
    fake = aws()
    hosts = running_hosts()
    first = hosts.stubs()
    fake.calls.clear()
    assert hosts.stubs() == first
    assert fake.operations() == EVERY_LIST
    fake.calls.clear()
    assert running_hosts().stubs() == first  # nor does another process
    assert fake.operations() == EVERY_LIST


def test_only_live_jobs_are_listed(aws: Callable[..., FakeAws]) -> None:
    fake = aws()
    running_hosts().stubs()
    asked = dict(fake.calls)
    assert asked["ListTrainingJobs"]["StatusEquals"] == "InProgress"


def test_the_newest_job_comes_first(aws: Callable[..., FakeAws]) -> None:
    aws(ListTrainingJobs=training("c", "a", "b"))
    assert [stub.host for stub in running_hosts().stubs()] == ["sm-c", "sm-a", "sm-b"]


@pytest.mark.parametrize(("count", "last"), [(2, "sm-bert.algo-2"), (64, "sm-bert.algo-16")])
def test_each_node_has_a_stub_up_to_the_limit(
    count: int, last: str, aws: Callable[..., FakeAws]
) -> None:
    aws(DescribeTrainingJob=described(ResourceConfig={"InstanceCount": count}))
    found = running_hosts().stubs()
    assert [stub.host for stub in found[:2]] == ["sm-bert", "sm-bert.algo-2"]
    assert (len(found), found[-1]) == (min(count, 16), Stub(last, "ubuntu", "training job"))


def test_a_job_outside_of_a_vpc_has_a_stub_if_its_remote_debug_is_on(
    aws: Callable[..., FakeAws],
) -> None:
    on = {"RemoteDebugConfig": {"EnableRemoteDebug": True}}
    fake = aws(DescribeTrainingJob=described(VpcConfig={}, **on))
    assert running_hosts().stubs() == [Stub("sm-bert", "ubuntu", "training job")]
    assert "DescribeSubnets" not in fake.operations()


@pytest.mark.parametrize("status", ["Starting", "Downloading", "Uploading", "Interrupted"])
def test_a_job_that_does_not_run_has_no_stub(status: str, aws: Callable[..., FakeAws]) -> None:
    fake = aws(ListTrainingJobs=training("bert", status=status))
    assert running_hosts().stubs() == []
    assert fake.operations() == EVERY_LIST


def test_a_missing_job_or_one_without_a_vpc_has_no_stub(aws: Callable[..., FakeAws]) -> None:
    aws(DescribeTrainingJob=described(VpcConfig={}))
    assert running_hosts().stubs() == []
    aws(ListTrainingJobs=[training("new"), {}], DescribeTrainingJob=ABSENT)
    assert running_hosts().stubs() == []


def test_a_log_without_a_user_is_read_ever_less_often(aws: Callable[..., FakeAws]) -> None:
    fake = aws(GetLogEvents=events("nothing"))
    hosts = running_hosts(user="trainer")
    for _ in range(5):
        assert hosts.stubs() == [Stub("sm-bert", "trainer", "training job")]
    fake.calls.clear()
    hosts.stubs()
    assert fake.operations() == EVERY_LIST  # after five looks, the log is read less often


def test_a_user_that_the_log_names_late_is_found(aws: Callable[..., FakeAws]) -> None:
    fake = aws(GetLogEvents=events("nothing"))
    hosts = running_hosts(user="trainer")
    for _ in range(40):
        assert hosts.stubs()[0].user == "trainer"
    assert fake.operations().count("GetLogEvents") < 30
    fake._answers["GetLogEvents"] = events(marker_line(user="ubuntu"))
    users = [hosts.stubs()[0].user for _ in range(25)]
    assert users[-1] == "ubuntu"
    assert "trainer" not in users[users.index("ubuntu") :]


def test_another_kind_has_a_plain_name(aws: Callable[..., FakeAws]) -> None:
    aws(
        ListTrainingJobs={},
        ListProcessingJobs=processing("prep"),
        DescribeTrainingJob=ABSENT,
        DescribeProcessingJob=described_processing,
    )
    assert running_hosts().stubs() == [Stub("sm-prep", "ubuntu", "processing job")]


def test_spaces_and_nodes_come_after_jobs(aws: Callable[..., FakeAws]) -> None:
    account = {**Studio(Space("x"), Space("eu-x"))._answers, **ClusterAws()._answers}
    fake = aws(**account)
    hosts = running_hosts("sm-eu-")
    found = [stub.host for stub in hosts.stubs()]
    assert found[:3] == ["sm-bert", "sm-x.space", "sm-c.login.1.hyperpod"]  # eu-x: another prefix
    fake.calls.clear()
    assert [stub.host for stub in hosts.stubs()] == found
    assert fake.operations() == sorted([*EVERY_LIST, "ListApps", "ListClusterNodes"])


@pytest.mark.parametrize("plain", [described(status="Completed", overall="Completed"), DENIED])
def test_a_name_taken_by_another_kind_gets_a_suffix(
    plain: Answers, aws: Callable[..., FakeAws]
) -> None:
    aws(
        ListTrainingJobs={},
        ListProcessingJobs=processing("prep"),
        DescribeTrainingJob=plain,
        DescribeProcessingJob=described_processing,
    )
    assert running_hosts().stubs() == [Stub("sm-prep.processing", "ubuntu", "processing job")]


def test_a_host_of_a_longer_prefix_is_left_out(aws: Callable[..., FakeAws]) -> None:
    aws(ListTrainingJobs=training("eu-x", "bert"))
    assert [stub.host for stub in running_hosts("sm-eu-").stubs()] == ["sm-bert"]


def test_a_job_whose_name_is_not_a_host_name_is_left_out(aws: Callable[..., FakeAws]) -> None:
    aws(ListTrainingJobs=training("x\n    ProxyCommand evil", "bert"))
    assert [stub.host for stub in running_hosts().stubs()] == ["sm-bert"]


@pytest.mark.parametrize("operation", ["ListTransformJobs", "DescribeTrainingJob"])
def test_a_failed_call_is_raised(operation: str, aws: Callable[..., FakeAws]) -> None:
    aws(**{operation: SmProxyError("throttled", "slow")})
    with pytest.raises(SmProxyError, match="slow"):
        running_hosts().stubs()


def test_a_denied_kind_is_reported_once(aws: Callable[..., FakeAws]) -> None:
    aws(ListEndpoints=DENIED)
    reported: list[str] = []
    hosts = RunningHosts(Settings(), {"sm-"}, reported.append)
    assert hosts.stubs() == hosts.stubs() != []
    assert reported == ["left out: denied"]


def test_an_endpoint_keeps_its_stub_during_an_update(aws: Callable[..., FakeAws]) -> None:
    line = {"EndpointName": "chat", "EndpointStatus": "Updating", "CreationTime": NOW}
    aws(
        ListTrainingJobs={},
        ListEndpoints={"Endpoints": [line]},
        DescribeTrainingJob=ABSENT,
        DescribeEndpoint={**line, "EndpointConfigName": "c"},
        DescribeEndpointConfig={"VpcConfig": {"Subnets": ["subnet-1"]}},
        DescribeLogStreams={},
    )
    assert running_hosts().stubs() == [Stub("sm-chat", "root", "endpoint")]
