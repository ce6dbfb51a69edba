from __future__ import annotations

import contextlib
import threading
from datetime import datetime, timezone
from typing import Any

import pytest

from sm_proxy import resolver
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.inventory import reachable, session_kinds, trial
from sm_proxy.inventory.reachable import Reachability
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Phase, Summary
from sm_proxy.settings import Settings
from tests.fakes import JOB, Answers, FakeAws, container, description, events


def summary(name: str = JOB, phase: Phase = "running", **changes: Any) -> Summary:
    known: dict[str, Any] = {"kind": "training", "status": "Training", **changes}
    return Summary(name=name, phase=phase, created=datetime.now(timezone.utc), **known)


def target_of(job: Summary) -> Target:
    return session_kinds.target_of(job, "sm-", frozenset())


def account(**answers: Answers) -> FakeAws:
    """An account whose logs are empty, unless `answers` says otherwise."""
    return FakeAws(**{"GetLogEvents": {}, **answers})


@pytest.fixture(autouse=True)
def _our_signals_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "no_session_left_open", contextlib.nullcontext)


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that were resolved."""
    hosts: list[str] = []

    def resolve(target: Target, *_: object, **options: object) -> object:
        assert options == {"fresh": True}  # and no wait
        hosts.append(target.host)
        return container()

    monkeypatch.setattr(resolver, "resolve", resolve)
    monkeypatch.setattr(trial, "refuse_unless_answering", lambda *_: None)
    return hosts


def checked(aws: FakeAws, *jobs: Summary) -> list[Reachability]:
    return reachable.check_all(jobs, [*map(target_of, jobs)], Settings(), aws)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (summary(), Reachability()),
        (summary(phase="starting"), Reachability()),
        (summary(phase="ended"), Reachability(reachable=False, reason="it has ended")),
        (summary(phase="failed"), Reachability(reachable=False, reason="it has failed")),
        (
            summary(phase="failed", failure_reason="no data"),
            Reachability(reachable=False, reason="no data"),
        ),
    ],
)
def test_a_list_alone_shows_that_a_job_has_ended(job: Summary, expected: Reachability) -> None:
    assert reachable.guess(job, target_of(job)) == expected


def test_a_running_job_that_resolves_is_reachable(resolved: list[str]) -> None:
    aws = account(DescribeTrainingJob=description(ResourceConfig={"InstanceCount": 4}))
    assert checked(aws, summary()) == [Reachability(reachable=True, nodes=4)]
    assert resolved == ["sm-my-job.training"]


def test_a_job_outside_of_a_vpc_is_reachable_if_its_remote_debug_is_on(
    resolved: list[str],
) -> None:
    on: dict[str, Any] = {"RemoteDebugConfig": {"EnableRemoteDebug": True}}
    aws = account(DescribeTrainingJob=description(VpcConfig={}, **on))
    assert checked(aws, summary()) == [Reachability(reachable=True, nodes=1)]
    assert resolved == ["sm-my-job.training"]


def test_an_ended_job_costs_no_call(resolved: list[str]) -> None:
    aws = FakeAws()
    jobs = [summary(phase="ended"), summary(phase="failed")]
    assert [found.reachable for found in checked(aws, *jobs)] == [False, False]
    assert (aws.calls, resolved) == ([], [])


@pytest.mark.parametrize(
    ("answer", "reachable", "words"),
    [
        (description("Pending"), None, "it is Pending"),
        (description("Stopped", "Stopped"), False, "job-ended: "),
        (description(VpcConfig={}), False, "no-vpc: "),
        (ServiceError("ValidationException", "gone", "x"), False, "it no longer exists"),
        (SmProxyError("throttled", "slow"), None, "throttled: slow"),
    ],
)
def test_a_job_that_cannot_be_reached_says_why(
    answer: Any, reachable: bool | None, words: str, resolved: list[str]
) -> None:
    (found,) = checked(account(DescribeTrainingJob=answer), summary())
    assert found.reachable is reachable
    assert found.reason is not None
    assert found.reason.startswith(words)
    assert resolved == []


@pytest.mark.parametrize(
    ("code", "reachable"),
    [("no-address", False), ("address-refused", False), ("access-denied", None)],
)
def test_a_failed_resolution_says_why(
    code: Code, reachable: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object, **__: object) -> object:
        raise SmProxyError(code, "words")

    monkeypatch.setattr(resolver, "resolve", resolve)
    (found,) = checked(account(DescribeTrainingJob=description()), summary())
    assert found == Reachability(reachable=reachable, reason=f"{code}: words", nodes=1)


@pytest.mark.parametrize(
    ("code", "reachable"),
    [
        *(("host-key-unknown", False), ("host-key-changed", False), ("connect-refused", False)),
        *(("sshd-silent", False), ("bastion-offline", False), ("throttled", None)),
    ],
)
def test_a_failed_trial_makes_a_job_unreachable(
    code: Code, reachable: bool | None, resolved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise SmProxyError(code, "words")

    monkeypatch.setattr(trial, "refuse_unless_answering", refuse)
    (found,) = checked(account(DescribeTrainingJob=description()), summary())
    assert found == Reachability(reachable=reachable, reason=f"{code}: words", nodes=1)


@pytest.mark.parametrize("name", ["", ".training", ".algo-1", ".training.algo-1"])
def test_trust_on_first_use_counts_under_each_name_of_the_job(
    name: str, resolved: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted: list[bool] = []

    def refuse(found: Container, settings: Settings, _: object) -> None:
        trusted.append(settings.trusts_first_use(found.host))

    monkeypatch.setattr(trial, "refuse_unless_answering", refuse)
    settings = Settings(hosts={f"sm-{JOB}{name}": {"trust_first_use": True}})
    aws = account(DescribeTrainingJob=description())
    reachable.check_all([summary()], [target_of(summary())], settings, aws)
    reachable.check_all([summary()], [target_of(summary())], Settings(), aws)
    assert trusted == [True, False]


def test_jobs_are_checked_concurrently_and_returned_in_order(resolved: list[str]) -> None:
    together = threading.Barrier(8, timeout=60)

    def describe(TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        together.wait()
        nodes = int(TrainingJobName.removeprefix("job-"))
        answer = description(ResourceConfig={"InstanceCount": nodes})
        assert isinstance(answer, dict)
        return {**answer, "TrainingJobName": TrainingJobName}

    jobs = [summary(f"job-{number}") for number in range(1, 17)]
    found = checked(account(DescribeTrainingJob=describe), *jobs)
    assert [item.nodes for item in found] == list(range(1, 17))
    assert len(resolved) == 16


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (["epoch 1"], False),
        (["sm-proxy: the program ended with exit code 9; the container stays for 600 s"], True),
        (["sm-proxy: a user is connected: the container stays, for at most 60 s", "x"], True),
        (["it said: sm-proxy: the program ended with exit code 9; the container stays"], False),
        ([], None),
    ],
)
def test_the_end_of_the_log_tells_whether_a_container_is_kept(
    lines: list[str], kept: bool | None, resolved: list[str]
) -> None:
    aws = account(DescribeTrainingJob=description(), GetLogEvents=events(*lines))
    (found,) = checked(aws, summary())
    assert (found.reachable, found.kept) == (True, kept)
    (_, asked) = aws.calls[-1]
    assert asked["startFromHead"] is False


def test_a_log_that_cannot_be_read_tells_nothing(resolved: list[str]) -> None:
    denied = SmProxyError("access-denied", "logs:GetLogEvents")
    aws = account(DescribeTrainingJob=description(), GetLogEvents=denied)
    assert checked(aws, summary()) == [Reachability(reachable=True, nodes=1)]
