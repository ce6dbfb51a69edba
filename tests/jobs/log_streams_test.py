from __future__ import annotations

import re
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import log_streams
from sm_proxy.jobs.log_streams import Streams
from tests.fakes import FakeAws
from tests.fakes import streams as page

NAMED = Streams("g", "job/algo-1-", re.compile(r"job/(?P<node>algo-1)-[0-9]+"), "algo-1")
BY_ID = re.compile(r"(?P<node>i-[0-9]+)")


def instances(node: str, count: int) -> Streams:
    return Streams("g", "", BY_ID, node, count)


def made(**names: int) -> list[dict[str, Any]]:
    return [
        {"logStreamName": name.replace("_", "-"), "creationTime": at} for name, at in names.items()
    ]


def test_the_highest_epoch_wins() -> None:
    names = ("job/algo-1-999", "job/algo-1-1700000000", "job/algo-1-1600000000")
    assert NAMED.choose(page(*names)["logStreams"]) == "job/algo-1-1700000000"


@pytest.mark.parametrize(
    "neighbour",
    [
        "job/algo-10-1800000000",
        "job/algo-1-1800000000/ssm",
        "job/algo-1-x",
        "job/algo-1-\N{FULLWIDTH DIGIT TWO}",
        "job/algo-1-1800000000\n",
        "xjob/algo-1-1800000000",
    ],
)
def test_similar_names_never_count(neighbour: str) -> None:
    assert NAMED.choose(page(neighbour)["logStreams"]) is None
    both = page(neighbour, "job/algo-1-1")["logStreams"]
    assert NAMED.choose(both) == "job/algo-1-1"


def test_a_node_with_a_name_takes_one_call() -> None:
    aws = FakeAws(DescribeLogStreams={**page("job/algo-1-1"), "nextToken": "t"})
    assert log_streams.find_newest(aws, NAMED) == "job/algo-1-1"
    assert aws.calls == [
        (
            "DescribeLogStreams",
            {
                "logGroupName": "g",
                "descending": True,
                "orderBy": "LogStreamName",
                "logStreamNamePrefix": "job/algo-1-",
            },
        )
    ]


def test_pages_are_followed_up_to_a_limit() -> None:
    ssm = {**page("job/algo-1-1/ssm"), "nextToken": "t"}
    aws = FakeAws(DescribeLogStreams=[ssm, ssm, page("job/algo-1-1")])
    assert log_streams.find_newest(aws, NAMED) == "job/algo-1-1"
    assert [asked.get("nextToken") for _, asked in aws.calls] == [None, "t", "t"]
    aws = FakeAws(DescribeLogStreams=ssm)
    assert log_streams.find_newest(aws, NAMED) is None
    assert len(aws.calls) == 4


def test_instances_are_numbered_after_all_pages_are_read() -> None:
    first = {"logStreams": made(i_2=5), "nextToken": "t"}
    aws = FakeAws(DescribeLogStreams=[first, {"logStreams": made(i_1=4)}])
    assert log_streams.find_newest(aws, instances("algo-1", 2)) == "i-1"
    assert len(aws.calls) == 2
    assert "logStreamNamePrefix" not in aws.calls[0][1]
    assert aws.calls[0][1]["orderBy"] == "LastEventTime"


def test_only_the_newest_instances_of_the_job_are_numbered() -> None:
    listed = made(i_1=1, i_2=7, i_3=9)
    assert instances("algo-1", 2).choose(listed) == "i-2"
    assert instances("algo-2", 2).choose(listed) == "i-3"
    assert instances("algo-3", 2).choose(listed) is None
    assert instances("algo-1", 9).choose(listed) == "i-1"
    assert instances("i-1", 2).choose(listed) == "i-1"


def test_a_missing_group_has_no_stream() -> None:
    gone = ServiceError("ResourceNotFoundException", "no group", "logs:DescribeLogStreams")
    assert log_streams.find_newest(FakeAws(DescribeLogStreams=gone), NAMED) is None
    assert log_streams.find_newest(FakeAws(DescribeLogStreams={}), NAMED) is None


def test_other_errors_are_reported() -> None:
    failing = FakeAws(DescribeLogStreams=ServiceError("InternalFailure", "oops", "x"))
    with pytest.raises(SmProxyError, match="oops"):
        log_streams.find_newest(failing, NAMED)


def test_all_nodes_of_a_job_are_found() -> None:
    first = page("job/algo-10-1", "job/algo-2-2", "job/algo-2-1", "job/algo-2-3/ssm")
    second = page("job/algo-1-1", "job/x", "job-2/algo-3-1", "job/algo-0-1")
    aws = FakeAws(DescribeLogStreams=[{**first, "nextToken": "t"}, second])
    assert list(log_streams.find_all(aws, NAMED, "job").items()) == [
        ("algo-1", "job/algo-1-1"),
        ("algo-2", "job/algo-2-2"),
        ("algo-10", "job/algo-10-1"),
    ]
    assert aws.calls[0][1]["logStreamNamePrefix"] == "job/"
    assert aws.calls[1][1]["nextToken"] == "t"


def test_all_instances_of_an_endpoint_are_those_that_it_has_now() -> None:
    streams = made(i_11111111=1, i_33333333=3, i_22222222=2)
    aws = FakeAws(DescribeLogStreams={"logStreams": streams})
    assert list(log_streams.find_all(aws, instances("algo-1", 2), "job")) == [
        "i-22222222",
        "i-33333333",
    ]
