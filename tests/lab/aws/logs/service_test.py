"""CloudWatch Logs: what is written, and every way of reading it."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from tests.lab.aws.harness import Lab, refusal


def events(*messages: str, at: int = 1_700_000_000_000) -> list[dict[str, Any]]:
    return [{"timestamp": at + n, "message": text} for n, text in enumerate(messages)]


def put(lab: Lab, stream: dict[str, str], *messages: str, at: int = 1_700_000_000_000) -> None:
    lab.control.put_logs(stream["logGroupName"], stream["logStreamName"], events(*messages, at=at))


def texts(page: dict[str, Any]) -> list[str]:
    return [event["message"] for event in page["events"]]


def test_what_is_not_there(lab: Lab, stream: dict[str, str]) -> None:
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


def test_the_apis_own_way_in(lab: Lab) -> None:
    logs = lab.client("logs")
    group = f"/own/{uuid.uuid4().hex}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    assert refusal(logs.create_log_group, logGroupName=group)[0] == "ResourceAlreadyExistsException"
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events("a", "b"))
    page = logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True)
    assert texts(page) == ["a", "b"]
    code, words, _ = refusal(
        logs.put_log_events,
        logGroupName=group,
        logStreamName="s",
        logEvents=[*events("b"), *events("a", at=1)],
    )
    assert (code, words) == (
        "InvalidParameterException",
        "Log events in a single PutLogEvents request must be in chronological order.",
    )
    found = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert [line["logGroupName"] for line in found] == [group]


def test_forward_until_the_token_repeats(lab: Lab, stream: dict[str, str]) -> None:
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


def test_backward_from_the_end(lab: Lab, stream: dict[str, str]) -> None:
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


def test_between_two_times(lab: Lab, stream: dict[str, str]) -> None:
    put(lab, stream, *"abcde")
    page = lab.client("logs").get_log_events(
        **stream, startTime=1_700_000_000_001, endTime=1_700_000_000_003, startFromHead=True
    )
    assert texts(page) == ["b", "c"]


def test_events_are_ordered_by_their_time(lab: Lab, stream: dict[str, str]) -> None:
    put(lab, stream, "later", at=2000)
    put(lab, stream, "sooner", at=1000)
    assert texts(lab.client("logs").get_log_events(**stream)) == ["sooner", "later"]


def test_a_page_holds_a_megabyte(lab: Lab, stream: dict[str, str]) -> None:
    put(lab, stream, *["x" * 200_000] * 7)
    page = lab.client("logs").get_log_events(**stream, startFromHead=True)
    assert len(page["events"]) == 5


def test_a_million_lines_cost_nothing(lab: Lab, stream: dict[str, str]) -> None:
    put(lab, stream, "marker", at=int(time.time() * 1000) - 60_000)
    started = time.perf_counter()
    lab.control.filler(stream["logGroupName"], stream["logStreamName"], 1_000_000)
    logs = lab.client("logs")
    first = logs.get_log_events(**stream, startFromHead=True, limit=3)
    last = logs.get_log_events(**stream, limit=1)
    near_the_end = last["events"][0]["timestamp"] - 1000
    middle = logs.get_log_events(**stream, startTime=near_the_end, limit=1)
    assert time.perf_counter() - started < 20  # a million events that are made take longer
    assert texts(first)[0] == "marker"
    assert "step 0 " in texts(first)[1]
    assert "step 999999 " in texts(last)[0]
    assert len(middle["events"]) == 1
    full = logs.get_log_events(**stream, startFromHead=True)
    assert 5_000 < len(full["events"]) <= 10_000


def test_late_delivery(lab: Lab, stream: dict[str, str]) -> None:
    logs = lab.client("logs")

    def write(where: dict[str, str], delay_ms: int) -> None:
        lab.control.faults(log_delay_ms=delay_ms)
        put(lab, where, "late")
        lab.control.faults(log_delay_ms=0)
        put(lab, where, "behind it", at=1_700_000_000_009)

    write(stream, 3_600_000)
    assert texts(logs.get_log_events(**stream)) == []
    other = stream | {"logStreamName": "job/algo-2-1700000000"}
    write(other, 300)
    until = time.monotonic() + 60
    while texts(logs.get_log_events(**other)) != ["late", "behind it"]:
        assert time.monotonic() < until


def test_empty_pages_while_more_follow(lab: Lab, stream: dict[str, str]) -> None:
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


def test_streams_by_name(lab: Lab, stream: dict[str, str]) -> None:
    logs = lab.client("logs")
    group = stream["logGroupName"]
    for number in range(60):
        lab.control.put_logs(group, f"many/algo-{number:02}", events("x", at=1000 + number))
    first = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="many/")
    names = [line["logStreamName"] for line in first["logStreams"]]
    assert names == [f"many/algo-{number:02}" for number in range(50)]
    assert first["logStreams"][7]["lastEventTimestamp"] == 1007
    rest = logs.describe_log_streams(
        logGroupName=group, logStreamNamePrefix="many/", nextToken=first["nextToken"]
    )
    assert len(rest["logStreams"]) == 10
    assert "nextToken" not in rest
    code = refusal(logs.describe_log_streams, logGroupName=group, limit=51)[0]
    assert code == "InvalidParameterException"


def test_streams_by_their_last_event(lab: Lab, stream: dict[str, str]) -> None:
    logs = lab.client("logs")
    group = stream["logGroupName"]
    lab.control.put_logs(group, "a", events("x", at=2000))
    lab.control.put_logs(group, "b", events("x", at=1000))
    found = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)
    names = [line["logStreamName"] for line in found["logStreams"]]
    assert names == ["a", "b", stream["logStreamName"]]
    lab.control.put_logs(group, "b", events("x", at=9000))
    found = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="b")
    assert found["logStreams"][0]["lastEventTimestamp"] == 1000  # told late
    assert refusal(
        logs.describe_log_streams,
        logGroupName=group,
        orderBy="LastEventTime",
        logStreamNamePrefix="a",
    )[:2] == (
        "InvalidParameterException",
        "Cannot order by LastEventTime with a logStreamNamePrefix.",
    )


def test_filter_by_streams(lab: Lab, stream: dict[str, str]) -> None:
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


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("marker", ['{"sm_proxy_marker": 1}', "a marker elsewhere"]),
        ('"marker elsewhere"', ["a marker elsewhere"]),
        ("{ $.sm_proxy_marker = 1 }", ['{"sm_proxy_marker": 1}']),
        ("?inet ?elsewhere", ["inet 10.0.1.2/24", "a marker elsewhere"]),
        ("marker -elsewhere", ['{"sm_proxy_marker": 1}']),
        ("%inet [0-9.]+%", ["inet 10.0.1.2/24"]),
    ],
)
def test_filter_patterns(lab: Lab, stream: dict[str, str], pattern: str, wanted: list[str]) -> None:
    put(lab, stream, '{"sm_proxy_marker": 1}', "inet 10.0.1.2/24", "a marker elsewhere")
    page = lab.client("logs").filter_log_events(
        logGroupName=stream["logGroupName"], filterPattern=pattern
    )
    assert texts(page) == wanted


def test_a_filter_scans_and_gives_empty_pages(lab: Lab, stream: dict[str, str]) -> None:
    group, name = stream.values()
    lab.control.filler(group, name, 25_000)
    lab.control.put_logs(group, name, [{"timestamp": int(time.time() * 1000), "message": "needle"}])
    pages = lab.client("logs").get_paginator("filter_log_events")
    found = [texts(p) for p in pages.paginate(logGroupName=group, filterPattern="needle")]
    assert found == [[], [], ["needle"]]
