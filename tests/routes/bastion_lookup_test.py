from __future__ import annotations

import time
from typing import Any

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.routes import bastion_lookup, ssm_session, table
from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.routes.ssm_session import Words
from sm_proxy.settings import Settings
from sm_proxy.state.cache import Cache
from tests.fakes import FakeAws, container
from tests.routes.helpers import DENIED, account, agents, connected, instances, refused

pytestmark = pytest.mark.usefixtures("started")


@pytest.mark.parametrize(
    ("running", "known", "chosen"),
    [
        (["i-3", "i-1", "i-2"], {"i-1": "Online", "i-2": "Online", "i-3": "Online"}, "i-1"),
        (["i-1", "i-2"], {"i-1": "ConnectionLost", "i-2": "Online"}, "i-2"),
        (["i-1", "i-2"], {"i-2": "Online"}, "i-2"),
    ],
)
def test_the_online_bastion_with_the_lowest_id_is_chosen(
    running: list[str], known: dict[str, str], chosen: str
) -> None:
    aws = account(
        DescribeInstances=instances(*((name, "running") for name in running)),
        DescribeInstanceInformation=agents(*((n, p, "3.3.0.0") for n, p in known.items())),
    )
    assert bastion_lookup.find(aws, "vpc-1") == chosen


def test_a_stopped_instance_is_skipped() -> None:
    aws = account(DescribeInstances=instances(("i-0", "stopped"), ("i-1", "running")))
    assert bastion_lookup.find(aws, "vpc-1") == "i-1"


@pytest.mark.parametrize("unknown", [DENIED, ServiceError("InternalError", "x", "ssm:X")])
def test_a_denied_agent_lookup_goes_on_with_the_first_instance(unknown: Exception) -> None:
    aws = account(
        DescribeInstances=instances(("i-2", "running"), ("i-1", "running")),
        DescribeInstanceInformation=unknown,
    )
    connected(aws)
    assert dict(aws.calls)["StartSession"]["Target"] == "i-1"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ((), "no running instance in vpc-1 has the tag sm-proxy:role=bastion"),
        ((("i-1", "stopped"), ("i-2", "pending")), "(i-1 is stopped, i-2 is pending)"),
    ],
)
def test_without_a_running_bastion_the_error_lists_the_stopped_ones(
    found: tuple[tuple[str, str], ...], words: str
) -> None:
    error = refused(account(DescribeInstances=instances(*found)))
    assert error.code == "no-bastion"
    assert ("sm-proxy infra deploy" in error.hint) == (not found)
    assert words in error.message
    assert "--bastion" in error.hint


@pytest.mark.parametrize("ping", ["ConnectionLost", "Inactive", None])
def test_an_offline_bastion_is_reported_with_its_status(ping: str | None) -> None:
    known = agents(("i-1", ping, "3.3.0.0")) if ping else agents()
    error = refused(account(DescribeInstanceInformation=known))
    assert error.code == "bastion-offline"
    assert (ping or "unknown to SSM") in error.message
    assert "i-1" in error.message


def test_an_old_agent_is_refused_before_a_session_starts() -> None:
    known = agents(("i-1", "Online", "3.1.1373.9"))
    aws = account(DescribeInstanceInformation=known)
    error = refused(aws)
    assert error.code == "agent-too-old"
    assert "3.1.1373.9" in error.message
    assert "3.1.1374.0" in error.message
    assert "StartSession" not in aws.operations()


@pytest.mark.parametrize("version", ["3.1.1374.0", "3.2.0.0", "10.0", "3.1.1374", None, ""])
def test_agents_of_3_1_1374_0_and_newer_or_unknown_are_accepted(version: str | None) -> None:
    known = agents(("i-1", "Online", version))
    if version == "3.1.1374":
        assert refused(account(DescribeInstanceInformation=known)).code == "agent-too-old"
    else:
        assert connected(account(DescribeInstanceInformation=known)) == "a session"


def test_a_bastion_with_a_new_enough_agent_is_preferred() -> None:
    aws = account(
        DescribeInstances=instances(("i-1", "running"), ("i-2", "running")),
        DescribeInstanceInformation=agents(
            ("i-1", "Online", "2.3.0.0"), ("i-2", "Online", "3.3.0.0")
        ),
    )
    assert bastion_lookup.find(aws, "vpc-1") == "i-2"


@pytest.mark.parametrize("code", ["throttled", "network", "expired-credentials"])
def test_an_error_that_every_call_would_meet_is_raised_at_once(code: Any) -> None:
    failing = SmProxyError(code, "no", "fix")
    aws = account(DescribeInstanceInformation=failing)
    assert refused(aws) is failing
    assert "StartSession" not in aws.operations()


def test_the_type_of_a_bastion_is_known_without_another_call() -> None:
    found = instances(("i-1", "running"))
    found["Reservations"][0]["Instances"][0]["InstanceType"] = "t4g.nano"
    aws = account(DescribeInstances=found)
    assert not bastion_lookup.known_type(aws, "vpc-1", "i-1")
    assert bastion_lookup.choose(aws, "vpc-1") == ("i-1", False)
    before = aws.operations()
    assert bastion_lookup.known_type(aws, "vpc-1", "i-1") == "t4g.nano"
    assert not bastion_lookup.known_type(aws, "vpc-1", "i-named")
    assert aws.operations() == before


def test_the_routes_of_one_connection_share_an_answer() -> None:
    aws = account()
    assert bastion_lookup.choose(aws, "vpc-1") == ("i-1", False)
    assert bastion_lookup.choose(aws, "vpc-1") == ("i-1", False)
    none = account(DescribeInstances=instances())
    for _ in range(2):
        with pytest.raises(SmProxyError, match="no running instance"):
            bastion_lookup.choose(none, "vpc-2")
    assert none.operations() == ["DescribeInstances"]


def test_a_shared_answer_is_short_lived(monkeypatch: pytest.MonkeyPatch) -> None:
    """`wait` asks again and again until the bastion is there."""
    monkeypatch.setattr(bastion_lookup, "_FRESH_S", -1.0)
    aws = account(DescribeInstances=[instances(), instances(("i-1", "running"))])
    with pytest.raises(SmProxyError):
        bastion_lookup.choose(aws, "vpc-1")
    assert bastion_lookup.choose(aws, "vpc-1") == ("i-1", False)


def test_another_account_has_answers_of_its_own() -> None:
    assert bastion_lookup.choose(account(), "vpc-1")[0] == "i-1"
    other = account(DescribeInstances=instances(("i-2", "running")))
    bastion_lookup.forget(other, "vpc-1")
    other = account(DescribeInstances=instances(("i-2", "running")), DescribeInstanceInformation={})
    with pytest.raises(SmProxyError, match="i-2 is not online"):
        bastion_lookup.choose(other, "vpc-1")


def cached_bastion(aws: FakeAws, name: str = "i-1") -> None:
    Cache("bastions").save(aws.scope, "vpc-1", record={"id": name}, expires=time.time() + 60)


def judged(aws: FakeAws, **settings: Any) -> table.Choice:
    return table.judge(container(port=2222), Settings(**settings), aws)


@pytest.mark.parametrize("settings", [{}, {"bastion": "i-1"}])
def test_a_look_at_the_routes_finds_a_known_bastion_offline(settings: dict[str, Any]) -> None:
    aws = account(DescribeInstanceInformation=agents(("i-1", "ConnectionLost", "3.3.0.0")))
    cached_bastion(aws)
    found = judged(aws, **settings)
    assert found.route is None
    for name in ("bastion", "bastion-ssh"):
        error = found.verdicts[name].error
        assert (error and error.code, found.verdicts[name].usable) == ("bastion-offline", False)
    calls = aws.operations()
    assert calls.count("DescribeInstanceInformation") == (1 if settings else 2)
    assert calls.count("DescribeInstances") == (0 if settings else 1)


def test_a_look_at_the_routes_finds_the_bastion_that_replaced_the_known_one() -> None:
    aws = account()
    cached_bastion(aws, "i-0")
    found = judged(aws)
    assert found.route == "bastion"
    assert found.verdicts["bastion"].reason == "i-1 is the bastion of vpc-1"
    assert found.verdicts["bastion-ssh"].usable


def test_a_look_at_the_routes_asks_once_about_a_known_bastion() -> None:
    aws = account()
    cached_bastion(aws)
    assert judged(aws).route == "bastion"
    assert aws.operations().count("DescribeInstanceInformation") == 1
    assert "DescribeInstances" not in aws.operations()


def test_an_old_agent_leaves_the_bastions_sshd() -> None:
    aws = account(DescribeInstanceInformation=agents(("i-1", "Online", "3.1.0.0")))
    found = judged(aws, bastion="i-1")
    assert found.route == "bastion-ssh"
    assert "3.1.0.0" in found.verdicts["bastion"].reason


@pytest.mark.parametrize("unknown", [DENIED, agents()])
def test_a_named_bastion_that_ssm_does_not_tell_of_can_serve(unknown: Any) -> None:
    found = judged(account(DescribeInstanceInformation=unknown), bastion="i-1")
    assert found.route == "bastion"


def test_a_connection_does_not_ask_about_a_known_bastion() -> None:
    aws = account()
    cached_bastion(aws)
    connected(aws)
    assert aws.operations() == ["StartSession"]


def test_another_bastion_serves_if_that_of_a_kept_session_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[tuple[str, Words]] = []

    def kept(_: Aws, request: SessionRequest, words: Words, __: Settings) -> Any:
        given.append((request.target, words))
        return "a kept one"

    monkeypatch.setattr(ssm_session, "kept_source", kept)
    aws = account(
        DescribeInstances=[instances((name, "running")) for name in ("i-1", "i-2")],
        DescribeInstanceInformation=agents(
            *((name, "Online", "3.3.0.0") for name in ("i-1", "i-2"))
        ),
    )
    assert connected(aws) == "a kept one"
    instead = given[0][1].instead
    assert instead is not None
    with pytest.raises(SmProxyError, match=DENIED.message):
        instead(DENIED)
    assert str(instead(SmProxyError("bastion-offline", "gone"))) == "a kept one"
    assert [target for target, _ in given] == ["i-1", "i-2"]
