from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths, signals
from sm_proxy.local.signals import Hangup
from sm_proxy.local.threads import Background
from sm_proxy.routes import bastion
from sm_proxy.settings import Settings
from sm_proxy.ssm import session as ssm
from sm_proxy.ssm.session import Grant, SessionEndedError
from sm_proxy.state import cache
from tests.fakes import container
from tests.routes.helpers import DENIED, GRANTED, Started, account, connected, instances, refused

pytestmark = pytest.mark.usefixtures("started")


def test_a_session_starts_on_the_bastion_of_the_jobs_vpc(started: Started) -> None:
    aws = account()
    assert connected(aws) == "a session"
    assert [name for name, _ in aws.calls] == [
        *("DescribeInstances", "DescribeInstanceInformation", "StartSession"),
    ]
    calls = dict(aws.calls)
    filters = {item["Name"]: item["Values"] for item in calls["DescribeInstances"]["Filters"]}
    assert filters["vpc-id"] == ["vpc-1"]
    assert filters["tag:sm-proxy:role"] == ["bastion"]
    assert calls["DescribeInstanceInformation"]["MaxResults"] == 50
    assert calls["StartSession"] == {
        "Target": "i-1",
        "DocumentName": "AWS-StartPortForwardingSessionToRemoteHost",
        "Parameters": {
            "host": ["10.0.1.5"],
            "portNumber": ["2222"],
            "localPortNumber": ["0"],
        },
        "Reason": "sm-proxy my-job",
    }
    assert started[0][2] == Grant("s-1", "t", "wss://x")


@pytest.mark.parametrize("record", [{}, {"id": None}, {"id": ["i-1"]}, {"id": 1}])
def test_a_damaged_cache_record_is_ignored(record: dict[str, Any]) -> None:
    aws = account()
    expires = time.time() + 60
    cache.Cache("bastions").save(aws.scope, "vpc-1", record=record, expires=expires)
    connected(aws)
    assert dict(aws.calls)["StartSession"]["Target"] == "i-1"


def test_a_named_bastion_needs_no_lookup() -> None:
    aws = account()
    connected(aws, Settings(bastion="i-9"))
    assert [(name, parameters["Target"]) for name, parameters in aws.calls] == [
        ("StartSession", "i-9")
    ]


@pytest.mark.parametrize("operation", ["DescribeInstances", "StartSession"])
def test_a_denied_call_is_reported(operation: str) -> None:
    assert refused(account(**{operation: DENIED})) is DENIED


@pytest.mark.parametrize("operation", ["DescribeInstances", "StartSession"])
def test_other_service_errors_are_reported(operation: str) -> None:
    aws = account(**{operation: ServiceError("InternalError", "oops", f"x:{operation}")})
    error = refused(aws)
    assert (error.code, "oops" in error.message) == ("aws-error", True)


@pytest.mark.parametrize("moment", ["StartSession", "websocket"])
def test_a_hang_up_leaves_no_session_open(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is interrupted, not the call: a session that arrives late is terminated."""
    begun, go = threading.Event(), threading.Event()

    def slow(**_: Any) -> dict[str, Any]:
        if moment == "StartSession":
            begun.set()
            go.wait(60)
        return GRANTED

    def start(*_: Any) -> None:
        begun.set()
        go.wait(60)

    def ssh_leaves() -> None:
        begun.wait(60)
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.1)
        go.set()

    monkeypatch.setattr(ssm, "start", start)
    for module in ("session", "api"):
        monkeypatch.setattr(f"sm_proxy.ssm.{module}.TERMINATE_DEADLINE_S", 60)
    signals.raise_on_hangup()
    threading.Thread(target=ssh_leaves).start()
    aws = account(StartSession=slow)
    with pytest.raises(Hangup):
        connected(aws, Settings(bastion="i-9"))
    assert ("TerminateSession", {"SessionId": "s-1"}) in aws.calls


def test_a_hang_up_before_the_grant_terminates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Background[Any]) -> Any:
        raise Hangup

    monkeypatch.setattr(Background, "result", interrupted)
    aws = account(StartSession=DENIED)
    with pytest.raises(Hangup):
        connected(aws, Settings(bastion="i-9"))
    assert "TerminateSession" not in aws.operations()


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("lost", "session-lost"),
        ("unopened", "network"),
        ("unreachable", "bastion-offline"),
        ("refused", "connect-refused"),
        ("unanswered", "connect-refused"),
        ("barred", "connect-refused"),
        ("unresolved", "no-address"),
        ("forbidden", "address-refused"),
        ("closed", "session-lost"),
        ("large", "session-lost"),
        ("doubled", "session-lost"),
    ],
)
def test_each_bad_end_of_a_session_has_its_code(kind: Any, code: str, started: Started) -> None:
    connected(account())
    failure = started[0][1].failure(kind, "why")
    assert isinstance(failure, SmProxyError)
    assert not isinstance(failure, SessionEndedError)
    assert (failure.code, failure.message) == (code, "why")
    assert failure.hint


def test_a_target_that_refused_a_large_message_gets_small_ones(started: Started) -> None:
    connected(account())
    started[0][1].failure("large", "why")
    connected(account())
    connected(account(), Settings(bastion="i-9"))
    assert [options.payload_limit for _, options, _ in started] == [32768, 1024, 32768]
    assert list((paths.cache_dir() / "small-messages").iterdir())


def test_the_session_knows_its_target(started: Started) -> None:
    connected(account())
    assert started[0][1].target == "bastion i-1"


def test_the_verdict_names_the_bastion_and_asks_once() -> None:
    aws = account()
    found = bastion.verdict(container(), Settings(), aws)
    assert (found.usable, found.reason) == (True, "i-1 is the bastion of vpc-1")
    connected(aws)
    assert aws.operations() == [
        *("DescribeInstanceInformation", "DescribeInstances", "StartSession"),
    ]
    aws = account()
    found = bastion.verdict(container(), Settings(bastion="i-9"), aws)
    assert (found.usable, "i-9" in found.reason, aws.calls) == (True, True, [])


def test_without_a_bastion_the_verdict_has_the_error() -> None:
    found = bastion.verdict(container(), Settings(), account(DescribeInstances=instances()))
    assert not found.usable
    assert found.error is not None
    assert (found.error.code, found.error.message) == ("no-bastion", found.reason)
    denied = bastion.verdict(container(), Settings(), account(DescribeInstances=DENIED))
    assert denied.error is DENIED


def test_without_an_address_a_bastion_is_of_no_use() -> None:
    aws = account()
    found = bastion.verdict(container(address=None, vpc_id=None), Settings(), aws)
    assert (found.usable, found.error, aws.calls) == (False, None, [])


def test_an_error_that_no_route_avoids_is_no_verdict() -> None:
    lost = SmProxyError("no-credentials", "none")
    with pytest.raises(SmProxyError) as caught:
        bastion.verdict(container(), Settings(), account(DescribeInstances=lost))
    assert caught.value is lost


@pytest.mark.parametrize(
    ("kind", "mendable"),
    [("unanswered", True), ("barred", True), ("refused", False), ("unresolved", False)],
)
def test_a_dial_that_the_network_stops_may_work_by_another_route(
    kind: Any, started: Started, *, mendable: bool
) -> None:
    connected(account())
    failure = started[0][1].failure(kind, "why")
    assert isinstance(failure, SmProxyError)
    assert failure.mendable == mendable
