from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.infra import stack as stacks
from sm_proxy.infra import watch
from sm_proxy.infra.watch import Watch
from sm_proxy.local import waits
from sm_proxy.settings import deadline
from sm_proxy.settings.deadline import Deadline
from tests.fakes import Answer, Clock, FakeAws
from tests.infra.fake_cloudformation import FakeCloudFormation, Lines, begin


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    for module in (watch, deadline):
        monkeypatch.setattr(module, "time", fake)
    return fake


def started(aws: FakeAws, said: Lines) -> Watch:
    return Watch(aws, stacks.existing(aws, "sm-proxy"), said)


def test_events_are_shown_once_each_until_the_stack_is_settled() -> None:
    cloud, said = FakeCloudFormation(), Lines()
    begin(cloud)
    found = started(cloud.aws(), said).until_settled(Deadline(600), "again")
    assert found.status == "CREATE_COMPLETE"
    assert len(said.all) + len(said.dim) == len(cloud.events)
    assert said.all[-1].endswith("sm-proxy CREATE_COMPLETE")
    # Each resource has two events with the same status; the second tells little.
    assert len(said.dim) == len(cloud.template["Resources"])


def test_a_second_watch_goes_on_with_the_same_operation() -> None:
    cloud, said = FakeCloudFormation(), Lines()
    begin(cloud)
    first = started(cloud.aws(), Lines())  # this look lets the VPC begin
    cloud.held = True
    with pytest.raises(SmProxyError) as caught:
        first.until_settled(Deadline(4), "sm-proxy infra deploy")
    assert caught.value.code == "wait-timeout"
    assert "still CREATE_IN_PROGRESS; waiting for Vpc (" in caught.value.message
    assert "`sm-proxy infra deploy`" in caught.value.hint
    cloud.held = False
    assert started(cloud.aws(), said).until_settled(Deadline(600), "").status == "CREATE_COMPLETE"
    assert len(said.all) + len(said.dim) == len(cloud.events)


def test_a_deleted_stack_is_followed_to_its_end() -> None:
    cloud, said = FakeCloudFormation(), Lines()
    begin(cloud)
    cloud.run()
    cloud.delete(StackName="sm-proxy")
    assert started(cloud.aws(), said).until_settled(Deadline(600), "").status == "DELETE_COMPLETE"


def test_a_stack_that_vanishes_is_deleted() -> None:
    cloud, said = FakeCloudFormation(), Lines()
    begin(cloud)
    watching = started(cloud.aws(), said)
    cloud.status = ""
    assert watching.until_settled(Deadline(600), "").status == "DELETE_COMPLETE"


@pytest.mark.parametrize(
    "trouble",
    [
        SmProxyError("throttled", "no answer"),
        SmProxyError("network", "no answer"),
        SmProxyError("aws-error", "no answer", passing=True),
    ],
)
def test_a_passing_error_is_shown_once_and_retried(trouble: SmProxyError) -> None:
    cloud, said = FakeCloudFormation(), Lines()
    begin(cloud)
    watching = started(cloud.aws(), said)
    left = [trouble] * 3

    def flaky(**given: Any) -> dict[str, Any]:
        if left:
            raise left.pop()
        return cloud.describe_events(**given)

    watching._aws = cloud.aws(DescribeStackEvents=flaky)
    assert watching.until_settled(Deadline(600), "").status == "CREATE_COMPLETE"
    assert [line for line in said.all if "no answer" in line] == ["no answer; trying again"]


def test_a_lasting_error_is_raised() -> None:
    cloud, said = FakeCloudFormation(), Lines()
    begin(cloud)
    watching = started(cloud.aws(), said)
    watching._aws = cloud.aws(DescribeStackEvents=SmProxyError("expired-credentials", "expired"))
    with pytest.raises(SmProxyError, match="expired"):
        watching.until_settled(Deadline(600), "")


def test_the_status_line_says_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloudFormation()
    seen: set[str] = set()
    begin(cloud)
    watching = started(cloud.aws(), Lines())
    cloud.held = True
    deadline = Deadline(120)
    sleep = deadline.sleep

    def look(bounds: tuple[float, float]) -> None:
        seen.update(wait.what for wait in waits.current())
        sleep(bounds)

    monkeypatch.setattr(deadline, "sleep", look)
    with pytest.raises(SmProxyError):
        watching.until_settled(deadline, "")
    assert any("is CREATE_IN_PROGRESS; waiting for Vpc (" in words for words in seen)
    assert not waits.current()


def test_events_may_lag_behind_the_status() -> None:
    cloud, said = FakeCloudFormation(), Lines()
    begin(cloud)
    watching = started(cloud.aws(), said)
    cloud.run()
    late: list[Answer] = [
        {"StackEvents": cloud.events[:2][::-1]},
        {"StackEvents": cloud.events[::-1]},
    ]
    watching._aws = cloud.aws(DescribeStackEvents=late)
    watching.until_settled(Deadline(600), "")
    assert said.all[-1].endswith("sm-proxy CREATE_COMPLETE")
    watching = started(cloud.aws(), said)
    watching._aws = cloud.aws(DescribeStackEvents={"StackEvents": []})
    assert watching.until_settled(Deadline(600), "").status == "CREATE_COMPLETE"
