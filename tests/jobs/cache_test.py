"""A second connection makes no calls, concurrent ones make one, and records expire in time."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sm_proxy import resolver
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import search
from sm_proxy.jobs.hostname import parse
from sm_proxy.settings import Settings
from sm_proxy.state import cache
from tests.fakes import FakeAws, container, description, events, marker_line, streams, working


def resolved(aws: FakeAws, host: str = "sm-my-job", **options: Any) -> resolver.Container:
    return resolver.resolve(parse(host, "sm-"), Settings(), aws, **options)


def test_a_cached_container_needs_no_call() -> None:
    aws = working()
    cold = resolved(aws)
    before = len(aws.calls)
    warm = resolved(aws)
    assert len(aws.calls) == before
    assert (cold.cached, warm) == (False, replace(cold, cached=True))


def test_fresh_makes_the_calls_again() -> None:
    aws = working()
    resolved(aws)
    before = len(aws.calls)
    assert not resolved(aws, fresh=True).cached
    assert len(aws.calls) == before + 4


def test_a_cached_container_has_the_host_name_just_typed() -> None:
    aws = working()
    resolved(aws)
    assert resolved(aws, "sm-my-job.algo-1").host == "sm-my-job.algo-1"


def test_another_account_or_region_shares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved(working())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
    aws = working()
    assert not resolved(aws).cached
    assert len(aws.calls) == 4


def test_many_nodes_at_once_ask_about_the_job_once() -> None:
    nodes = 16

    def named(**parameters: Any) -> dict[str, Any]:
        prefix = parameters["logStreamNamePrefix"]
        return streams(f"{prefix}1700000000")

    def log(**parameters: Any) -> dict[str, Any]:
        node = parameters["logStreamName"].split("/")[1].rsplit("-", 1)[0]
        return events(marker_line(node=node))

    job: dict[str, Any] = description()  # type: ignore[assignment]
    job["ResourceConfig"]["InstanceCount"] = nodes
    aws = working(DescribeTrainingJob=job, DescribeLogStreams=named, GetLogEvents=log)
    threads = [
        threading.Thread(target=resolved, args=(aws, f"sm-my-job.{number}"))
        for number in range(1, nodes + 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = {name: aws.operations().count(name) for name in set(aws.operations())}
    assert counts == {
        "DescribeTrainingJob": 1,
        "DescribeSubnets": 1,
        "DescribeLogStreams": nodes,
        "GetLogEvents": nodes,
    }


def test_records_expire_with_the_jobs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    job: dict[str, Any] = description()  # type: ignore[assignment]
    job["CreationTime"] = datetime.now(timezone.utc) - timedelta(seconds=100)
    job["StoppingCondition"] = {"MaxRuntimeInSeconds": 200}
    resolved(working(DescribeTrainingJob=job))
    aws = working(DescribeTrainingJob=job)
    assert resolved(aws).cached
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 101)
    assert not resolved(aws).cached


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_the_jobs_time_uses_the_services_clock(
    ahead_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    job: dict[str, Any] = description()  # type: ignore[assignment]
    job["CreationTime"] = datetime.now(timezone.utc) + timedelta(seconds=ahead_s - 100)
    job["StoppingCondition"] = {"MaxRuntimeInSeconds": 200}
    aws = working(DescribeTrainingJob=job)
    aws.clock_offset_s = ahead_s
    resolved(aws)
    assert resolved(aws).cached
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 101)
    assert not resolved(aws).cached


MINUTES_AGO = datetime.now(timezone.utc) - timedelta(minutes=10)
TWO = {"InstanceCount": 2}
SECOND = {
    "DescribeLogStreams": streams("my-job/algo-2-1700000000"),
    "GetLogEvents": events(marker_line(node="algo-2")),
}


def cached_ten_minutes_ago(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
    """Leave the cache as a connection to the job's first node did ten minutes ago."""
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now - 600)
        resolved(working(**answers))


def test_a_node_that_started_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    cached_ten_minutes_ago(monkeypatch)
    aws = working(DescribeTrainingJob=description(ResourceConfig=TWO), **SECOND)
    assert resolved(aws, "sm-my-job.2").node == "algo-2"
    assert aws.operations().count("DescribeTrainingJob") == 1


def test_a_job_that_ended_later_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    cached_ten_minutes_ago(monkeypatch, DescribeTrainingJob=description(ResourceConfig=TWO))
    aws = working(
        DescribeTrainingJob=description("Failed", "Failed", FailureReason="no memory"),
        DescribeLogStreams=streams("my-job/algo-2-1700000000"),
        GetLogEvents=events("epoch 1"),
    )
    with pytest.raises(SmProxyError, match="no memory") as caught:
        resolved(aws, "sm-my-job.2")
    assert caught.value.code == "job-failed"


def test_a_job_that_a_new_description_shows_as_ended_is_not_cached() -> None:
    resolved(working())
    aws = working(DescribeTrainingJob=description("Failed", "Failed", FailureReason="no memory"))
    for fresh in (True, False):
        with pytest.raises(SmProxyError) as caught:
            resolved(aws, fresh=fresh)
        assert caught.value.code == "job-failed"


def test_a_restart_after_caching_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    began = description(
        ResourceConfig=TWO,
        SecondaryStatusTransitions=[{"StartTime": MINUTES_AGO}],
    )
    cached_ten_minutes_ago(monkeypatch, DescribeTrainingJob=began)
    monkeypatch.setattr(search, "POLL_S", (0.01, 0.02))
    aws = working(
        DescribeTrainingJob=description(ResourceConfig=TWO),  # its status has just begun
        DescribeLogStreams=[streams(), streams(), SECOND["DescribeLogStreams"]],
        GetLogEvents=SECOND["GetLogEvents"],
    )
    assert resolved(aws, "sm-my-job.2", wait=30).node == "algo-2"


def test_subnets_changed_after_caching_are_described_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cached_ten_minutes_ago(monkeypatch, DescribeTrainingJob=description(ResourceConfig=TWO))
    moved = marker_line(node="algo-2", addresses=[{"address": "10.9.0.5"}])
    subnets = {"Subnets": [{"VpcId": "vpc-9", "CidrBlock": "10.9.0.0/24"}]}
    aws = working(
        DescribeTrainingJob=description(ResourceConfig=TWO),
        DescribeSubnets=subnets,
        DescribeLogStreams=SECOND["DescribeLogStreams"],
        GetLogEvents=events(moved),
    )
    found = resolved(aws, "sm-my-job.2")
    assert (found.address, found.vpc_id) == ("10.9.0.5", "vpc-9")


def test_a_recent_description_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    resolved(working(DescribeTrainingJob=description(ResourceConfig=TWO)))
    aws = working(DescribeLogStreams=streams())
    with pytest.raises(SmProxyError, match="no address yet"):
        resolved(aws, "sm-my-job.2")
    assert aws.operations() == ["DescribeLogStreams"]


def test_another_error_needs_no_new_description(monkeypatch: pytest.MonkeyPatch) -> None:
    cached_ten_minutes_ago(monkeypatch, DescribeTrainingJob=description(ResourceConfig=TWO))
    aws = working(DescribeLogStreams=SmProxyError("throttled", "slow", "later"))
    with pytest.raises(SmProxyError, match="slow"):
        resolved(aws, "sm-my-job.2")
    assert aws.operations() == ["DescribeLogStreams"]


@pytest.mark.parametrize(
    "changes",
    [
        {"another": "field"},
        {"address": None},
        {"address": 167772421},
        {"address": "10.0.1"},
        {"port": 0},
        {"port": 65536},
        {"host_keys": ["ssh-ed25519 AAAA\n* ssh-ed25519 BBBB"]},
        {"port": "2222"},
        {"port": True},
        {"port": 2222.0},
        {"user": 0},
        {"host_keys": "ssh-ed25519 AAAA"},
        {"host_keys": [["ssh-ed25519 AAAA"]]},
        {"host_keys": None},
        {"stream": {"time": 5}},
        {"cached": "no"},
    ],
)
def test_a_damaged_record_is_ignored(changes: dict[str, Any]) -> None:
    aws = working()
    resolved(aws)
    records = cache.Cache("jobs")
    key = (aws.scope, "", "my-job", "algo-1")
    good = records.load(*key)
    assert good is not None
    records.save(*key, record={**good, **changes}, expires=time.time() + 60)
    before = len(aws.calls)
    assert resolved(aws) == container()
    assert [name for name, _ in aws.calls[before:]] == ["DescribeLogStreams", "GetLogEvents"]
    assert resolved(aws) == container(cached=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"job": None},
        {"job": []},
        {"job": {"name": "my-job"}},
        {"asked": "now"},
        {"asked": True},
        {"asked": float("nan")},
        {"asked": 1e300},
        {"asked": 10**400},
        {"subnets": "vpc-1"},
        {"subnets": {"vpc_id": "vpc-1"}},
        {"subnets": {"vpc_id": 1, "networks": ["10.0.0.0/20"]}},
        {"subnets": {"vpc_id": "vpc-1", "networks": ["10.0.0.0/99"]}},
        {"subnets": {"vpc_id": "vpc-1", "networks": [167772160]}},
        {"subnets": {"vpc_id": "vpc-1", "networks": {"10.0.0.0/20": 1}}},
    ],
)
def test_a_damaged_record_of_a_job_is_ignored(changes: dict[str, Any]) -> None:
    aws = working()
    asked_anew(aws, {**job_record(aws), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"created": {"time": 1e300}},
        {"created": {"time": -1e300}},
        {"created": {"time": "now"}},
        {"created": 1e9},
        {"name": {"time": 5}},
        {"nodes": "1"},
        {"nodes": True},
        {"phase": "Training"},
        {"kind": ["training"]},
        {"kind": "hub"},
        {"subnets": [1]},
        {"subnets": "subnet-1"},
        {"max_runtime_s": 1.5},
        {"max_runtime_s": 10**12},
        {"max_runtime_s": 60, "created": {"time": 253402300799.0}},
        {"another": "field"},
    ],
)
def test_a_record_with_a_field_of_another_type_is_ignored(changes: dict[str, Any]) -> None:
    aws = working()
    good = job_record(aws)
    asked_anew(aws, {**good, "job": {**good["job"], **changes}})


def job_record(aws: FakeAws) -> dict[str, Any]:
    """The cached record of the job."""
    resolved(aws)
    record = cache.Cache("jobs").load(aws.scope, "", "my-job")
    assert record is not None
    return record


def asked_anew(aws: FakeAws, record: dict[str, Any]) -> None:
    """Check that with this record of the job, and none of its node, we make all calls again."""
    records = cache.Cache("jobs")
    records.save(aws.scope, "", "my-job", record=record, expires=time.time() + 60)
    records.forget(aws.scope, "", "my-job", "algo-1")
    before = len(aws.calls)
    assert resolved(aws) == container()
    assert len(aws.calls) == before + 4
