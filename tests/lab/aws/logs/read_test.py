"""All operations that read a log."""

from __future__ import annotations

import time
from typing import Any

from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.logs.helpers import events, put, texts


def test_a_missing_group_or_stream_is_reported(lab: Lab, stream: dict[str, str]) -> None:
    logs = lab.client("logs")
    assert refusal(logs.get_log_events, logGroupName="nope", logStreamName="nope") == (
        "ResourceNotFoundException",
        "The specified log group does not exist.",
        400,
    )
    assert refusal(logs.get_log_events, **stream | {"logStreamName": "nope"})[:2] == (
        "ResourceNotFoundException",
        "The specified log stream does not exist.",
    )


def test_reading_forward_ends_when_the_token_repeats(lab: Lab, stream: dict[str, str]) -> None:
    logs = lab.client("logs")
    put(lab, stream, *"abcde")
    seen: list[str] = []
    asked: dict[str, Any] = {"startFromHead": True, "limit": 2}
    while True:
        page = logs.get_log_events(**stream, **asked)
        seen += texts(page)
        if page["nextForwardToken"] == asked.get("nextToken"):
            break
        asked["nextToken"] = page["nextForwardToken"]
    assert seen == list("abcde")
    put(lab, stream, "f", at=1_700_000_001_000)
    assert texts(logs.get_log_events(**stream, **asked)) == ["f"]


def test_reading_backward_begins_at_the_end(lab: Lab, stream: dict[str, str]) -> None:
    logs = lab.client("logs")
    put(lab, stream, *"abcde")
    page = logs.get_log_events(**stream, limit=2)
    assert texts(page) == ["d", "e"]
    page = logs.get_log_events(**stream, limit=2, nextToken=page["nextBackwardToken"])
    assert texts(page) == ["b", "c"]
    page = logs.get_log_events(**stream, limit=2, nextToken=page["nextBackwardToken"])
    assert texts(page) == ["a"]
    last = logs.get_log_events(**stream, nextToken=page["nextBackwardToken"])
    assert (texts(last), last["nextBackwardToken"]) == ([], page["nextBackwardToken"])
    assert refusal(logs.get_log_events, **stream, nextToken="nonsense")[:2] == (
        "InvalidParameterException",
        "The specified nextToken is invalid.",
    )


def test_events_between_two_times_are_read(lab: Lab, stream: dict[str, str]) -> None:
    put(lab, stream, *"abcde")
    page = lab.client("logs").get_log_events(
        **stream, startTime=1_700_000_000_001, endTime=1_700_000_000_003, startFromHead=True
    )
    assert texts(page) == ["b", "c"]


def test_a_page_has_at_most_a_megabyte(lab: Lab, stream: dict[str, str]) -> None:
    put(lab, stream, *["x" * 200_000] * 7)
    page = lab.client("logs").get_log_events(**stream, startFromHead=True)
    assert len(page["events"]) == 5


def test_empty_pages_come_before_the_events(lab: Lab, stream: dict[str, str]) -> None:
    logs = lab.client("logs")
    put(lab, stream, "a")
    lab.control.faults(empty_log_pages=2)
    found: list[list[str]] = []
    token: dict[str, str] = {}
    for _ in range(4):
        page = logs.get_log_events(**stream, startFromHead=True, **token)
        found.append(texts(page))
        repeated = page["nextForwardToken"] == token.get("nextToken")
        token = {"nextToken": page["nextForwardToken"]}
    assert (found, repeated) == ([[], [], ["a"], []], True)
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=stream["logGroupName"])
    assert [texts(page) for page in pages] == [[], [], ["a"]]


def test_a_late_event_does_not_move_the_place_of_a_token(lab: Lab, stream: dict[str, str]) -> None:
    logs = lab.client("logs")
    where = stream["logGroupName"], stream["logStreamName"]
    lab.control.put_logs(*where, events("a", "b", at=1000))
    first = logs.get_log_events(**stream, startFromHead=True)
    lab.control.put_logs(*where, events("late", at=500))
    lab.control.put_logs(*where, events("c", at=2000))
    token = first["nextForwardToken"]
    second = logs.get_log_events(**stream, startFromHead=True, nextToken=token)
    assert (texts(first), texts(second)) == (["a", "b"], ["c"])


def test_events_are_masked_unless_unmask_is_allowed(lab: Lab, stream: dict[str, str]) -> None:
    logs = lab.client("logs")
    put(lab, stream, "at 10.0.1.5, port 22")
    lab.control.faults(masked_logs=r"10\.[0-9.]+")
    assert texts(logs.get_log_events(**stream)) == ["at ********, port 22"]
    assert texts(logs.get_log_events(**stream, unmask=True)) == ["at 10.0.1.5, port 22"]
    lab.control.faults(deny=["logs:Unmask"])
    assert texts(logs.get_log_events(**stream)) == ["at ********, port 22"]
    code, words, _ = refusal(logs.get_log_events, **stream, unmask=True)
    assert code == "AccessDeniedException"
    assert "not authorized to perform: logs:Unmask" in words


def test_a_filter_can_select_streams(lab: Lab, stream: dict[str, str]) -> None:
    logs = lab.client("logs")
    group = stream["logGroupName"]
    lab.control.put_logs(group, "job/algo-1-5", events("one", at=1000))
    lab.control.put_logs(group, "job/algo-10-5", events("ten", at=500))
    lab.control.put_logs(group, "other", events("other", at=1))

    def found(**asked: Any) -> list[str]:
        return texts(logs.filter_log_events(logGroupName=group, **asked))

    assert found(logStreamNamePrefix="job/algo-1") == ["ten", "one"]
    assert found(logStreamNames=["job/algo-1-5"]) == ["one"]
    assert found(startTime=600) == ["one"]
    code = refusal(
        logs.filter_log_events, logGroupName=group, logStreamNames=["a"], logStreamNamePrefix="a"
    )[0]
    assert code == "InvalidParameterException"


def test_a_filter_returns_empty_pages_while_it_scans(lab: Lab, stream: dict[str, str]) -> None:
    group, name = stream.values()
    lab.control.filler(group, name, 25_000)
    lab.control.put_logs(group, name, [{"timestamp": int(time.time() * 1000), "message": "needle"}])
    pages = lab.client("logs").get_paginator("filter_log_events")
    found = [texts(p) for p in pages.paginate(logGroupName=group, filterPattern="needle")]
    assert found == [[], [], ["needle"]]
