"""A second connection asks nothing, many at once ask once, and nothing is believed for too long."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sm_proxy import resolver
from sm_proxy.jobs import memory
from sm_proxy.settings import Settings
from tests.fakes import FakeAws, container, description, events, marker_line, streams, working


def resolved(aws: FakeAws, host: str = "sm-my-job", **options: Any) -> resolver.Container:
    return resolver.resolve(host, Settings(), aws, **options)


def test_a_warm_resolution_makes_no_call() -> None:
    aws = working()
    cold = resolved(aws)
    before = len(aws.calls)
    warm = resolved(aws)
    assert len(aws.calls) == before
    assert (cold.cached, warm) == (False, replace(cold, cached=True))


def test_a_fresh_look_asks_again() -> None:
    aws = working()
    resolved(aws)
    before = len(aws.calls)
    assert not resolved(aws, fresh=True).cached
    assert len(aws.calls) == before + 4


def test_the_host_is_as_typed_now() -> None:
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


def test_nothing_outlives_the_jobs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    job: dict[str, Any] = description()  # type: ignore[assignment]
    job["CreationTime"] = datetime.now(timezone.utc) - timedelta(seconds=50)
    job["StoppingCondition"] = {"MaxRuntimeInSeconds": 60}
    resolved(working(DescribeTrainingJob=job))
    aws = working(DescribeTrainingJob=job)
    assert resolved(aws).cached
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 11)
    assert not resolved(aws).cached


def test_a_torn_record_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = working()
    resolved(aws)
    monkeypatch.setattr(memory, "Container", _of_another_version)
    before = len(aws.calls)
    assert resolved(aws) == container()
    assert [name for name, _ in aws.calls[before:]] == ["DescribeLogStreams", "GetLogEvents"]


def _of_another_version(**_: Any) -> Any:
    raise TypeError("a field of another version")
