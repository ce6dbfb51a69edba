"""`enable-remote-debug` switches RemoteDebug on where that can work, and says what comes next."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sm_proxy import cli
from sm_proxy.aws.errors import ServiceError
from sm_proxy.commands import enable_remote_debug as command
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import search
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.hostname import parse
from sm_proxy.settings import Settings
from tests.fakes import (
    NODE_STREAM,
    Answers,
    Clock,
    FakeAws,
    container,
    description,
    events,
    marker_line,
    streams,
)

ABSENT = ServiceError("ValidationException", "Could not find", "sagemaker:Describe")
DENIED = SmProxyError("access-denied", "it is denied", "Allow it.")
ROLE = "arn:aws:iam::111122223333:role/job"
ON = {"RemoteDebugConfig": {"EnableRemoteDebug": True}}
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:v1"


def simulates(*denied: str) -> Any:
    def simulate(**asked: Any) -> dict[str, Any]:
        return {
            "EvaluationResults": [
                {
                    "EvalActionName": name,
                    "EvalDecision": "implicitDeny" if name in denied else "allowed",
                }
                for name in asked["ActionNames"]
            ]
        }

    return simulate


class Account:
    """Runs the command against one account, whose job changes as the service would change it."""

    def __init__(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = clock
        self.changes: dict[str, Any] = {}
        self.statuses = ["Training"]
        self.agent = ["connected"]
        self.aws = FakeAws()
        self.answers: dict[str, Answers] = {}
        monkeypatch.setattr(command, "Aws", lambda *_: self.aws)

    def describe(self, **given: Any) -> dict[str, Any]:
        if given["TrainingJobName"] != "my-job":
            raise ABSENT
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        overall = "Completed" if status == "Completed" else "InProgress"
        specification = {"TrainingImage": IMAGE}
        known: Any = {
            "RoleArn": ROLE,
            "VpcConfig": {},
            "AlgorithmSpecification": specification,
            **self.changes,
        }
        return dict(description(status, overall, **known))  # type: ignore[arg-type]

    def update(self, **given: Any) -> dict[str, Any]:
        self.changes["RemoteDebugConfig"] = given["RemoteDebugConfig"]
        return {}

    def status_of_agent(self, **given: Any) -> dict[str, Any]:
        assert given["Target"].startswith("sagemaker-training-job:my-job_algo-")
        return {"Status": self.agent.pop(0) if len(self.agent) > 1 else self.agent[0]}

    def enable(self, *words: str) -> int:
        answers: dict[str, Answers] = {
            "DescribeTrainingJob": self.describe,
            "UpdateTrainingJob": self.update,
            "GetConnectionStatus": self.status_of_agent,
            "DescribeLogStreams": streams(NODE_STREAM),
            "GetLogEvents": events(marker_line()),
            "SimulatePrincipalPolicy": simulates(),
            "GetCallerIdentity": {
                "Arn": "arn:aws:sts::111122223333:assumed-role/dev/me",
                "Account": "111122223333",
            },
        }
        self.aws = FakeAws(**{**answers, **self.answers})
        return cli.main(["enable-remote-debug", *words])

    @property
    def updates(self) -> list[dict[str, Any]]:
        return [given for name, given in self.aws.calls if name == "UpdateTrainingJob"]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    clock = Clock()
    for module in (command, search):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(FakeAws, "ensure_credentials", lambda _: None)
    return Account(clock, monkeypatch)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def data(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["data"]
    return found


@pytest.mark.parametrize("typed", ["sm-my-job", "my-job", "sm-my-job.training"])
def test_remote_debug_of_a_running_job_is_switched_on(
    account: Account, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    assert account.enable(typed) == 0
    assert account.updates == [
        {"TrainingJobName": "my-job", "RemoteDebugConfig": {"EnableRemoteDebug": True}}
    ]
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "RemoteDebug of training job my-job was switched on",
        "ssh sm-my-job",
    ]
    assert shown.err == ""


def test_a_second_time_changes_nothing(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.changes = dict(ON)
    assert account.enable("sm-my-job", "--json") == 0
    assert account.updates == []
    assert data(capsys) == {
        "job": "my-job",
        "host": "sm-my-job",
        "status": "Training",
        "changed": False,
        "connected": True,
        "next": "ssh sm-my-job",
    }


def test_the_cached_job_is_forgotten(account: Account) -> None:
    cache = JobCache(account.aws)
    targets = [parse(host, "sm-") for host in ("sm-my-job", "sm-my-job.2", "sm-my-job.training")]
    account.changes = {"ResourceConfig": {"InstanceCount": 2}}
    assert account.enable("sm-my-job") == 0
    job = search.Search(targets[0], Settings(), account.aws, cache, print)._describe()
    for target in targets:
        cache.keep_container(target, job, container())
        assert cache.container(target) is not None
    assert account.enable("sm-my-job.2") == 0
    assert [cache.container(target) for target in targets[:1]] == [None]
    assert cache.container(targets[2]) is None


def test_the_agent_of_the_named_node_is_waited_for(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.changes = {"ResourceConfig": {"InstanceCount": 2}}
    account.agent = ["notconnected", "notconnected", "connected"]
    account.answers = {
        "DescribeLogStreams": streams("my-job/algo-2-1700000000"),
        "GetLogEvents": events(marker_line(node="algo-2")),
    }
    assert account.enable("sm-my-job.2") == 0
    asked = [given["Target"] for name, given in account.aws.calls if name == "GetConnectionStatus"]
    assert asked == ["sagemaker-training-job:my-job_algo-2"] * 3
    shown = capsys.readouterr()
    assert shown.out.endswith("ssh sm-my-job.algo-2\n")
    assert "its agent is not connected to Session Manager yet" in shown.err


def test_a_starting_job_is_waited_for(account: Account) -> None:
    account.statuses = ["Starting", "Starting", "Pending", "Downloading", "Training"]
    assert account.enable("sm-my-job") == 0
    assert len(account.updates) == 1
    assert account.clock.slept


def test_the_wait_for_the_status_is_bounded(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.statuses = ["Starting"]
    assert account.enable("sm-my-job", "--timeout", "30s") == 1
    assert account.updates == []
    line = last_line(capsys)
    assert line.startswith("sm-proxy: wait-timeout: job my-job is still Starting")
    assert line.endswith(" To wait longer: sm-proxy enable-remote-debug sm-my-job --timeout 1h")
    assert sum(account.clock.slept) == pytest.approx(30)


def test_an_agent_that_never_connects_names_the_role(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.agent = ["notconnected"]
    assert account.enable("sm-my-job", "--timeout", "20s", "--json") == 1
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert (found["data"]["changed"], found["data"]["connected"]) == (True, False)
    assert found["error"]["code"] == "remote-debug-off"
    assert "ssmmessages:CreateControlChannel" in shown.err


def test_a_denied_look_at_the_agent_is_reported(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.answers = {"GetConnectionStatus": DENIED}
    assert account.enable("sm-my-job") == 0
    assert "ssm:GetConnectionStatus is denied" in capsys.readouterr().err


def test_a_container_without_a_marker_needs_bootstrap(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.answers = {"GetLogEvents": events("epoch 1")}
    assert account.enable("sm-my-job") == 0
    assert capsys.readouterr().out.endswith("sm-proxy bootstrap sm-my-job\n")


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "isolated": ({"EnableNetworkIsolation": True}, {}, "network-isolation", "isolation"),
    "built in": (
        {
            "AlgorithmSpecification": {
                "TrainingImage": "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"
            }
        },
        {},
        "unsupported",
        "kmeans",
    ),
    "role": (
        {},
        {"SimulatePrincipalPolicy": simulates("ssmmessages:OpenControlChannel")},
        "access-denied",
        "may not ssmmessages:OpenControlChannel",
    ),
    "no such node": ({"ResourceConfig": {"InstanceCount": 1}}, {}, "bad-name", "algo-2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_impossible_job_is_refused_before_anything_changes(
    account: Account, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    account.changes, account.answers, code, words = REFUSED[case]
    assert account.enable("sm-my-job.algo-2" if case == "no such node" else "sm-my-job") == 1
    line = last_line(capsys)
    assert line.startswith(f"sm-proxy: {code}: ")
    assert words in line
    assert account.updates == []


def test_a_job_that_has_ended_is_refused(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.statuses = ["Completed"]
    assert account.enable("sm-my-job") == 1
    assert last_line(capsys).startswith("sm-proxy: job-ended: ")
    assert account.updates == []


def test_another_kind_of_job_is_refused(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.answers = {
        "DescribeProcessingJob": {"ProcessingJobName": "p", "ProcessingJobStatus": "InProgress"}
    }
    assert account.enable("sm-p.processing") == 1
    assert "only training jobs have it" in last_line(capsys)


def test_the_services_refusal_names_relaunch(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.answers = {
        "UpdateTrainingJob": ServiceError("ValidationException", "not for this job", "x:y")
    }
    assert account.enable("sm-my-job") == 1
    line = last_line(capsys)
    assert "remote-debug-off" in line
    assert "not for this job" in line
    assert "sm-proxy relaunch my-job --remote-debug" in line


def test_a_job_that_ends_meanwhile_says_so(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.statuses = ["Training", "Training", "Completed"]
    account.answers = {"UpdateTrainingJob": ServiceError("ValidationException", "ended", "x:y")}
    assert account.enable("sm-my-job") == 1
    assert last_line(capsys).startswith("sm-proxy: job-ended: ")


def test_a_user_who_may_not_start_sessions_is_warned(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.answers = {"SimulatePrincipalPolicy": simulates("ssm:StartSession")}
    assert account.enable("sm-my-job") == 0
    assert "may not allow ssm:StartSession" in capsys.readouterr().err
    asked = dict(account.aws.calls)["SimulatePrincipalPolicy"]
    assert asked["PolicySourceArn"] == "arn:aws:iam::111122223333:role/dev"
