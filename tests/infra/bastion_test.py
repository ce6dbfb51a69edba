from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.infra import bastion
from sm_proxy.settings import deadline
from sm_proxy.settings.deadline import Deadline
from tests.fakes import Answers, Clock, FakeAws

LAUNCHED = datetime(2026, 11, 1, tzinfo=timezone.utc)
DENIED = SmProxyError("access-denied", "no")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(deadline, "time", fake)
    return fake


def group(*instances: str, wanted: int = 1, state: str = "InService") -> dict[str, Any]:
    found = [{"InstanceId": name, "LifecycleState": state} for name in instances]
    item = {"DesiredCapacity": wanted, "Instances": found, "MaxInstanceLifetime": 30 * 86400}
    return {"AutoScalingGroups": [item]}


def ping(status: str, instance: str = "i-1") -> dict[str, Any]:
    return {"InstanceInformationList": [{"InstanceId": instance, "PingStatus": status}]}


def account(**changes: Answers) -> FakeAws:
    answers: dict[str, Answers] = {
        "DescribeAutoScalingGroups": group("i-1"),
        "DescribeInstanceInformation": ping("Online"),
        "DescribeInstances": {
            "Reservations": [{"Instances": [{"InstanceId": "i-1", "LaunchTime": LAUNCHED}]}]
        },
        "DescribeScalingActivities": {"Activities": []},
    }
    return FakeAws(**{**answers, **changes})


def test_the_groups_instance_is_the_bastion() -> None:
    found = bastion.look(account(), "bastions")
    assert (found.instance, found.online, found.words) == ("i-1", True, "i-1: Online")
    assert found.replaced_by == LAUNCHED + timedelta(days=30)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"DescribeAutoScalingGroups": group(wanted=0)}, "paused"),
        ({"DescribeAutoScalingGroups": group()}, "its instance is not launched yet"),
        (
            {"DescribeAutoScalingGroups": group("i-1", state="Terminating")},
            "its instance is not launched yet",
        ),
        ({"DescribeInstanceInformation": ping("ConnectionLost")}, "i-1: ConnectionLost"),
        (
            {"DescribeInstanceInformation": {"InstanceInformationList": []}},
            "i-1: SSM does not know it yet",
        ),
        (
            {"DescribeInstanceInformation": DENIED},
            "i-1: these credentials may not ask SSM whether it is online",
        ),
        ({"DescribeAutoScalingGroups": {"AutoScalingGroups": []}}, "its group is gone"),
    ],
)
def test_the_words_for_a_bastion_that_is_not_online(
    changes: dict[str, Answers], words: str
) -> None:
    found = bastion.look(account(**changes), "bastions")
    assert (found.online, found.words) == (False, words)


def test_we_wait_until_it_is_online_and_say_what_changes() -> None:
    said: list[str] = []
    aws = account(
        DescribeAutoScalingGroups=[group(), group(), group("i-1")],
        DescribeInstanceInformation=[ping("Inactive"), ping("Online")],
    )
    found = bastion.wait_until_online(aws, "bastions", Deadline(300), said.append, "again")
    assert found.online
    assert [line.partition("; ")[2] for line in said] == [
        "its instance is not launched yet",
        "i-1: Inactive",
    ]


@pytest.mark.parametrize("code", ["throttled", "network"])
def test_a_passing_error_is_retried(code: Any) -> None:
    trouble = SmProxyError(code, "no answer")
    said: list[str] = []
    aws = account(DescribeAutoScalingGroups=[trouble, trouble, group("i-1")])
    assert bastion.wait_until_online(aws, "bastions", Deadline(300), said.append, "").online
    assert said == ["waiting until the bastion is online in SSM; no answer"]
    aws = account(DescribeAutoScalingGroups=trouble)
    with pytest.raises(SmProxyError, match="no answer"):
        bastion.wait_until_online(aws, "bastions", Deadline(60), said.append, "")


def test_without_permission_to_ask_we_do_not_wait() -> None:
    aws = account(DescribeInstanceInformation=DENIED)
    found = bastion.wait_until_online(aws, "bastions", Deadline(300), print, "again")
    assert (found.instance, found.ping) == ("i-1", None)


def test_a_group_that_launches_nothing_is_named_with_its_reason() -> None:
    activity = {"StatusCode": "Failed", "StatusMessage": "t4g.nano is not supported\x1b"}
    aws = account(
        DescribeAutoScalingGroups=group(), DescribeScalingActivities={"Activities": [activity]}
    )
    said: list[str] = []
    with pytest.raises(SmProxyError) as caught:
        bastion.wait_until_online(aws, "bastions", Deadline(60), said.append, "again")
    assert caught.value.code == "bastion-offline"
    assert "t4g.nano is not supported\N{REPLACEMENT CHARACTER}" in caught.value.message
    assert "--bastion-type" in caught.value.hint
    assert "t4g.nano is not supported" in said[0]


@pytest.mark.parametrize(
    ("answer", "message", "hint"),
    [
        (group(wanted=0), "the bastion's group bastions was set to no instance", "infra resume"),
        ({"AutoScalingGroups": []}, "the bastion's group bastions was deleted", "infra delete"),
    ],
)
def test_a_bastion_that_no_group_launches_is_not_waited_for(
    answer: dict[str, Any], message: str, hint: str
) -> None:
    deadline = Deadline(2700)
    with pytest.raises(SmProxyError, match=message) as caught:
        bastion.wait_until_online(
            account(DescribeAutoScalingGroups=answer), "bastions", deadline, lambda *_: None, ""
        )
    assert (caught.value.code, hint in caught.value.hint) == ("bastion-offline", True)
    assert deadline.left > 2600


def test_a_bastion_that_stays_offline_is_named_with_what_to_check() -> None:
    aws = account(DescribeInstanceInformation=ping("Inactive"))
    with pytest.raises(SmProxyError, match="i-1 is not online in SSM") as caught:
        bastion.wait_until_online(aws, "bastions", Deadline(60), lambda *_: None, "do this")
    assert "instance profile" in caught.value.hint
    assert "`do this`" in caught.value.hint
