from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.kinds import training
from sm_proxy.jobs.log_following import Entry, JobLog
from tests.fakes import JOB, FakeAws
from tests.jobs import log_account
from tests.jobs.log_account import LogAccount

THROTTLED = SmProxyError("throttled", "logs:GetLogEvents was throttled")
DENIED = SmProxyError("access-denied", "logs:GetLogEvents is denied")


class Reader:
    """Reads the log of an account's job."""

    def __init__(self, account: LogAccount, node: str | None = "algo-1", **options: Any) -> None:
        job = training.describe(account, JOB)
        assert job is not None
        self.lines: list[str] = []
        self.messages: list[str] = []
        self.log = JobLog(account, job, node, on_status=self.messages.append, **options)
        self.log.find_streams()

    def show(self, entries: Iterable[Entry]) -> int:
        found = [f"{entry.node}: {entry.event.message}" for entry in entries]
        self.lines += found
        return len(found)

    def read(self) -> list[str]:
        self.show(self.log.unread())
        return self.lines

    def follow(self) -> str:
        return self.log.follow(self.show).status


def followed(
    monkeypatch: pytest.MonkeyPatch, account: LogAccount, node: str | None = "algo-1"
) -> tuple[Reader, str]:
    log_account.use(monkeypatch, account)
    reader = Reader(account, node, follow=True)
    return reader, reader.follow()


def test_the_newest_stream_of_the_node_is_read() -> None:
    account = LogAccount(nodes=2)
    account.write("old", epoch=1_600_000_000)
    account.write("new")
    account.write("of another node", node=2)
    assert Reader(account).read() == ["algo-1: new"]


def test_all_nodes_are_merged_by_time() -> None:
    account = LogAccount(nodes=12)
    for second, node in enumerate([2, 1, 12, 1, 2]):
        account.clock.now = second
        account.write(f"{second}", node=node)
    reader = Reader(account, None)
    assert reader.read() == ["algo-2: 0", "algo-1: 1", "algo-12: 2", "algo-1: 3", "algo-2: 4"]
    assert reader.log.nodes == ("algo-1", "algo-2", "algo-12")
    assert reader.log.nodes_missing == 9


def test_following_ends_after_the_jobs_last_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    account = LogAccount()
    account.write("first")
    for second in range(1, 100, 7):
        account.at(second, partial(account.write, f"second {second}"))
    account.at(99, lambda: account.end("Uploading"))
    account.at(150, lambda: account.end("Completed"))
    account.at(152, partial(account.write, "the last line comes after the end"))
    reader, status = followed(monkeypatch, account)
    assert status == "Completed"
    assert reader.lines == [
        "algo-1: first",
        *(f"algo-1: second {second}" for second in range(1, 100, 7)),
        "algo-1: the last line comes after the end",
    ]
    assert reader.messages == []
    assert account.clock.now < 190


def test_a_quiet_log_is_asked_for_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    account = LogAccount()
    account.write("only")
    account.at(600, lambda: account.end("Completed"))
    followed(monkeypatch, account)
    assert account.clock.slept[0] == 1
    assert max(account.clock.slept) == 5
    assert account.operations().count("GetLogEvents") < 2 * 600 / 4
    assert account.operations().count("DescribeTrainingJob") <= 122


def test_many_nodes_are_read_no_faster_than_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    account = LogAccount(nodes=64)
    for node in range(1, 65):
        account.write("x", node=node)
        for second in range(1, 200):
            account.at(second, partial(account.write, f"{second}", node=node))
    account.at(200, lambda: account.end("Completed"))
    reader, _ = followed(monkeypatch, account, None)
    assert len(reader.lines) == 64 * 200
    assert account.operations().count("GetLogEvents") / account.clock.now < 7


def test_a_restart_on_another_instance_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    account = LogAccount()
    account.write("before")
    account.at(20, lambda: account.end("Interrupted"))
    account.at(60, lambda: account.end("Training"))
    account.at(61, partial(account.write, "after", epoch=1_800_000_000))
    account.at(61, partial(account.write, "late, of the first instance"))
    account.at(85, partial(account.write, "later, of the first instance"))
    account.at(90, lambda: account.end("Completed"))
    reader, _ = followed(monkeypatch, account)
    assert sorted(reader.lines) == [
        "algo-1: after",
        "algo-1: before",
        "algo-1: late, of the first instance",
        "algo-1: later, of the first instance",
    ]
    assert reader.messages == ["algo-1 of my-job has started again: its new log follows"]


def test_an_instance_that_is_chosen_again_is_not_read_again() -> None:
    """While an endpoint scales out, its algo-1 is a former instance, until the new one writes."""
    former, present, added = "i-0aaaaaaaaaaaaaaa0", "i-0bbbbbbbbbbbbbbb0", "i-0ccccccccccccccc0"
    made = {former: 1, present: 2}

    def events(logStreamName: str, nextToken: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803
        line = {"timestamp": 1, "message": logStreamName}
        return {"events": [] if nextToken else [line], "nextForwardToken": "end"}

    def streams(**_: Any) -> dict[str, Any]:
        names = [{"logStreamName": f"v/{id_}", "creationTime": at} for id_, at in made.items()]
        return {"logStreams": names}

    now = datetime(2026, 11, 29, tzinfo=timezone.utc)
    job = Job(
        name="chat",
        kind="endpoint",
        noun="endpoint",
        status="InService",
        phase="running",
        created=now,
        status_since=now,
        log_group="/aws/sagemaker/Endpoints/chat",
    )
    log = JobLog(FakeAws(DescribeLogStreams=streams, GetLogEvents=events), job, "algo-1")
    lines = list[str]()
    for nodes in (1, 2, 2, 2):
        log.job = replace(job, nodes=nodes)
        log.find_streams()
        lines += [entry.event.message for entry in log.unread()]
        if nodes == 2:
            made[added] = 3
    assert lines == [f"v/{present}", f"v/{former}"]


def test_the_log_of_a_job_that_is_deleted_is_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = LogAccount()
    account.write("first")
    account.at(19, partial(account.write, "last"))
    account.at(19.5, account.delete)
    reader, status = followed(monkeypatch, account)
    assert (reader.lines, status) == (["algo-1: first", "algo-1: last"], "Deleted")


def test_a_job_that_has_no_log_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    account = LogAccount(status="Starting")
    account.at(30, lambda: account.end("Downloading"))
    account.at(60, lambda: account.end("Training"))
    account.at(61, partial(account.write, "first"))
    account.at(70, lambda: account.end("Failed", "AlgorithmError"))
    reader, status = followed(monkeypatch, account)
    assert status == "Failed"
    assert reader.lines == ["algo-1: first"]
    assert reader.messages == [
        "my-job has no log yet: Starting",
        "my-job has no log yet: Downloading",
    ]


def test_nodes_that_begin_later_are_followed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    account = LogAccount(nodes=2)
    account.write("one")
    account.at(15, partial(account.write, "two", node=2))
    account.at(40, lambda: account.end("Completed"))
    reader, _ = followed(monkeypatch, account, None)
    assert reader.lines == ["algo-1: one", "algo-2: two"]
    assert reader.messages == ["the log of algo-2 of my-job begins"]


def test_a_job_that_ended_long_ago_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    account = LogAccount()
    account.write("all")
    account.end("Stopped")
    account.clock.now = 7 * 60
    reader, status = followed(monkeypatch, account)
    assert (reader.lines, status) == (["algo-1: all"], "Stopped")
    assert account.clock.slept == []


def test_failures_that_pass_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    account = LogAccount(nodes=3)
    for node in (1, 2, 3):
        account.write("first", node=node)
    for second in range(1, 60):
        account.at(second, partial(account.write, f"{second}", node=second % 3 + 1))
        account.at(second, partial(account.failures.append, THROTTLED))
    account.at(61, lambda: account.end("Completed"))
    reader, _ = followed(monkeypatch, account, None)
    assert len(reader.lines) == len(set(reader.lines)) == 3 + 59
    assert "trying again: logs:GetLogEvents was throttled" in reader.messages


def test_a_denied_call_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    account = LogAccount()
    account.write("first")
    account.failures.append(DENIED)
    with pytest.raises(SmProxyError, match="logs:GetLogEvents is denied"):
        followed(monkeypatch, account)
