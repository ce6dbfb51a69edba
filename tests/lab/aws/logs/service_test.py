"""CloudWatch Logs: groups, streams and writing."""

from __future__ import annotations

import uuid

from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.logs.helpers import events, texts


def test_log_events_are_written_in_chronological_order(lab: Lab) -> None:
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


def test_streams_are_listed_by_name(lab: Lab, stream: dict[str, str]) -> None:
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


def test_streams_are_listed_by_their_last_event(lab: Lab, stream: dict[str, str]) -> None:
    logs = lab.client("logs")
    group = stream["logGroupName"]
    lab.control.put_logs(group, "a", events("x", at=2000))
    lab.control.put_logs(group, "b", events("x", at=1000))
    found = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True)
    names = [line["logStreamName"] for line in found["logStreams"]]
    assert names == ["a", "b", stream["logStreamName"]]
    lab.control.put_logs(group, "b", events("x", at=9000))
    found = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="b")
    assert found["logStreams"][0]["lastEventTimestamp"] == 1000  # it is updated late
    assert refusal(
        logs.describe_log_streams,
        logGroupName=group,
        orderBy="LastEventTime",
        logStreamNamePrefix="a",
    )[:2] == (
        "InvalidParameterException",
        "Cannot order by LastEventTime with a logStreamNamePrefix.",
    )


def test_a_group_keeps_its_retention_and_its_tags(lab: Lab) -> None:
    logs = lab.client("logs")
    group = f"/own/{uuid.uuid4().hex}"
    logs.create_log_group(logGroupName=group, tags={"sm-proxy:stack": "x"})
    logs.put_retention_policy(logGroupName=group, retentionInDays=30)
    (found,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert found["retentionInDays"] == 30
    tags = logs.list_tags_for_resource(resourceArn=found["logGroupArn"])["tags"]
    assert tags == {"sm-proxy:stack": "x"}
    logs.delete_retention_policy(logGroupName=group)
    (found,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert "retentionInDays" not in found
