from __future__ import annotations

import contextlib
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
from sm_proxy.routes import bastion, bastion_lookup, sessions
from sm_proxy.routes.session_api import SsmApi
from sm_proxy.routes.sessions import Sessions
from sm_proxy.settings import Settings
from sm_proxy.ssm import session as ssm
from sm_proxy.ssm.session import FinalError, Grant, Options, SessionEndedError
from sm_proxy.state import cache
from tests.fakes import Answers, FakeAws, container

GRANTED = {"SessionId": "s-1", "TokenValue": "t", "StreamUrl": "wss://x"}
NOT_CONNECTED = ServiceError("TargetNotConnected", "i-1 is not connected.", "ssm:StartSession")
DENIED = SmProxyError("access-denied", "ssm:DescribeInstanceInformation is denied", "ask")


def instances(*pairs: tuple[str, str]) -> dict[str, Any]:
    found = [{"InstanceId": name, "State": {"Name": state}} for name, state in pairs]
    return {"Reservations": [{"Instances": [item]} for item in found]}


def agents(*triples: tuple[str, str, str | None]) -> dict[str, Any]:
    return {
        "InstanceInformationList": [
            {"InstanceId": name, "PingStatus": ping, "AgentVersion": version}
            for name, ping, version in triples
        ]
    }


def account(**changes: Answers) -> FakeAws:
    answers: dict[str, Answers] = {
        "DescribeInstances": instances(("i-1", "running")),
        "DescribeInstanceInformation": agents(("i-1", "Online", "3.3.1230.0")),
        "StartSession": GRANTED,
        "TerminateSession": {},
    }
    return FakeAws(**{**answers, **changes})


Started = list[tuple[Any, Options, Grant]]


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What `ssm.start` was called with."""
    calls: Started = []

    def start(api: Any, options: Options, grant: Grant) -> str:
        calls.append((api, options, grant))
        return "a session"

    monkeypatch.setattr(ssm, "start", start)
    monkeypatch.setattr(sessions, "SESSIONS", Sessions())
    return calls


def connected(aws: FakeAws, settings: Settings | None = None, port: int = 2222) -> object:
    return bastion.connect(container(), port, settings or Settings(), aws)


def refused(aws: FakeAws, settings: Settings | None = None) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        connected(aws, settings)
    assert caught.value.hint
    return caught.value


def test_the_bastion_of_the_jobs_vpc(started: Started) -> None:
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
def test_a_torn_record_of_it_is_asked_anew(record: dict[str, Any]) -> None:
    aws = account()
    expires = time.time() + 60
    cache.Cache("bastions").save(aws.context, "vpc-1", record=record, expires=expires)
    connected(aws)
    assert dict(aws.calls)["StartSession"]["Target"] == "i-1"


def test_an_explicit_bastion_is_looked_up_nowhere() -> None:
    aws = account()
    connected(aws, Settings(bastion="i-9"))
    assert [(name, parameters["Target"]) for name, parameters in aws.calls] == [
        ("StartSession", "i-9")
    ]


@pytest.mark.parametrize(
    ("running", "known", "chosen"),
    [
        (["i-3", "i-1", "i-2"], {"i-1": "Online", "i-2": "Online", "i-3": "Online"}, "i-1"),
        (["i-1", "i-2"], {"i-1": "ConnectionLost", "i-2": "Online"}, "i-2"),
        (["i-1", "i-2"], {"i-2": "Online"}, "i-2"),
    ],
)
def test_the_lowest_id_that_is_online(
    running: list[str], known: dict[str, str], chosen: str
) -> None:
    aws = account(
        DescribeInstances=instances(*((name, "running") for name in running)),
        DescribeInstanceInformation=agents(*((n, p, "3.3.0.0") for n, p in known.items())),
    )
    assert bastion_lookup.find(aws, "vpc-1") == chosen


def test_one_that_does_not_run_is_passed_over() -> None:
    aws = account(DescribeInstances=instances(("i-0", "stopped"), ("i-1", "running")))
    assert bastion_lookup.find(aws, "vpc-1") == "i-1"


@pytest.mark.parametrize("unknown", [DENIED, ServiceError("InternalError", "x", "ssm:X")])
def test_where_the_agents_may_not_be_asked_it_goes_on(unknown: Exception) -> None:
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
def test_no_bastion(found: tuple[tuple[str, str], ...], words: str) -> None:
    error = refused(account(DescribeInstances=instances(*found)))
    assert error.code == "no-bastion"
    assert words in error.message
    assert "--bastion" in error.hint


@pytest.mark.parametrize("ping", ["ConnectionLost", "Inactive", None])
def test_a_bastion_that_is_offline(ping: str | None) -> None:
    known = agents(("i-1", ping, "3.3.0.0")) if ping else agents()
    error = refused(account(DescribeInstanceInformation=known))
    assert error.code == "bastion-offline"
    assert (ping or "unknown to SSM") in error.message
    assert "i-1" in error.message


def test_an_agent_that_is_too_old() -> None:
    known = agents(("i-1", "Online", "3.1.1373.9"))
    aws = account(DescribeInstanceInformation=known)
    error = refused(aws)
    assert error.code == "agent-too-old"
    assert "3.1.1373.9" in error.message
    assert "3.1.1374.0" in error.message
    assert "StartSession" not in aws.operations()


@pytest.mark.parametrize("version", ["3.1.1374.0", "3.2.0.0", "10.0", "3.1.1374", None, ""])
def test_agents_that_will_do(version: str | None) -> None:
    known = agents(("i-1", "Online", version))
    if version == "3.1.1374":
        assert refused(account(DescribeInstanceInformation=known)).code == "agent-too-old"
    else:
        assert connected(account(DescribeInstanceInformation=known)) == "a session"


def test_one_with_a_new_agent_is_preferred() -> None:
    aws = account(
        DescribeInstances=instances(("i-1", "running"), ("i-2", "running")),
        DescribeInstanceInformation=agents(
            ("i-1", "Online", "2.3.0.0"), ("i-2", "Online", "3.3.0.0")
        ),
    )
    assert bastion_lookup.find(aws, "vpc-1") == "i-2"


@pytest.mark.parametrize("operation", ["DescribeInstances", "StartSession"])
def test_a_denied_call_is_told(operation: str) -> None:
    assert refused(account(**{operation: DENIED})) is DENIED


@pytest.mark.parametrize("operation", ["DescribeInstances", "StartSession"])
def test_other_answers_are_told(operation: str) -> None:
    aws = account(**{operation: ServiceError("InternalError", "oops", f"x:{operation}")})
    error = refused(aws)
    assert (error.code, "oops" in error.message) == ("aws-error", True)


@pytest.mark.parametrize("code", ["throttled", "network", "expired-credentials"])
def test_what_hinders_every_call_is_told_at_once(code: Any) -> None:
    failing = SmProxyError(code, "no", "mend")
    aws = account(DescribeInstanceInformation=failing)
    assert refused(aws) is failing
    assert "StartSession" not in aws.operations()


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        (agents(("i-9", "ConnectionLost", "3.3.0.0")), "(ConnectionLost)"),
        (agents(), "(unknown to SSM)"),
        (DENIED, "to SSM:"),
        (SmProxyError("throttled", "slow"), "to SSM:"),
    ],
)
def test_a_target_that_is_not_connected(known: Answers, shown: str) -> None:
    aws = account(StartSession=NOT_CONNECTED, DescribeInstanceInformation=known)
    error = refused(aws, Settings(bastion="i-9"))
    assert error.code == "bastion-offline"
    assert shown in error.message
    assert "i-1 is not connected." in error.message
    assert aws.operations() == ["DescribeInstanceInformation", "StartSession"]


def test_a_session_refused_for_an_old_agent() -> None:
    aws = account(
        StartSession=ServiceError("InvalidDocument", "not supported", "ssm:StartSession"),
        DescribeInstanceInformation=agents(("i-9", "Online", "2.0.0.0")),
    )
    assert refused(aws, Settings(bastion="i-9")).code == "agent-too-old"


def test_a_target_that_is_none() -> None:
    aws = account(StartSession=ServiceError("InvalidTarget", "no", "ssm:StartSession"))
    assert refused(aws, Settings(bastion="i-9")).code == "no-bastion"


@pytest.mark.usefixtures("kept_signals")
@pytest.mark.parametrize("moment", ["StartSession", "websocket"])
def test_a_hang_up_leaves_no_session_behind(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait is interrupted, not the call: what it brings later is ended at once."""
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


def test_a_hang_up_before_a_session_is_granted_ends_none(monkeypatch: pytest.MonkeyPatch) -> None:
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
        ("unreachable", "bastion-offline"),
        ("refused", "connect-refused"),
        ("closed", "session-lost"),
        ("large", "session-lost"),
    ],
)
def test_how_a_session_ends_badly(kind: Any, code: str, started: Started) -> None:
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


def api(aws: FakeAws) -> SsmApi:
    return SsmApi(aws, "i-1", "10.0.1.5", 22, "reason")


def test_a_session_is_taken_up_again() -> None:
    assert api(FakeAws(ResumeSession=GRANTED)).resume("s-1") == Grant("s-1", "t", "wss://x")
    without_url = {"SessionId": "s-1", "TokenValue": "t"}
    assert api(FakeAws(ResumeSession=without_url)).resume("s-1") == Grant("s-1", "t", "")


@pytest.mark.parametrize(
    "answer", [{"SessionId": "s-1"}, ServiceError("DoesNotExistException", "gone", "x")]
)
def test_a_session_that_is_over(answer: dict[str, Any] | ServiceError) -> None:
    assert api(FakeAws(ResumeSession=answer)).resume("s-1") is None


@pytest.mark.parametrize("code", ["access-denied", "no-credentials", "expired-credentials"])
def test_what_no_further_attempt_will_mend(code: Any) -> None:
    with pytest.raises(FinalError, match="why") as caught:
        api(FakeAws(ResumeSession=SmProxyError(code, "why", "mend"))).resume("s-1")
    cause = caught.value.cause
    assert isinstance(cause, SmProxyError)
    assert (cause.code, cause.hint) == (code, "mend")
    assert cause.message == "the connection was lost and cannot be resumed: why"


@pytest.mark.parametrize(
    "error", [SmProxyError("network", "why"), ServiceError("InternalError", "why", "x")]
)
def test_what_a_further_attempt_may_mend(error: Exception) -> None:
    with pytest.raises(type(error), match="why"):
        api(FakeAws(ResumeSession=error)).resume("s-1")


@pytest.mark.parametrize("challenge", ["", "c"])
def test_the_key_of_an_encrypted_session(challenge: str) -> None:
    aws = FakeAws(GenerateDataKey={"CiphertextBlob": b"c", "Plaintext": b"p"})
    assert api(aws).data_key("k", "s-1", challenge) == (b"c", b"p")
    ((_, asked),) = aws.calls
    context = {"aws:ssm:SessionId": "s-1", "aws:ssm:TargetId": "i-1"}
    if challenge:
        context["aws:ssm:RandomChallenge"] = challenge
    assert asked == {"KeyId": "k", "NumberOfBytes": 64, "EncryptionContext": context}


def test_a_key_that_is_denied_is_the_sessions_failure() -> None:
    denied = SmProxyError("access-denied", "no kms:GenerateDataKey", "mend")
    with pytest.raises(FinalError, match="key k: no kms:GenerateDataKey") as caught:
        api(FakeAws(GenerateDataKey=denied)).data_key("k", "s-1", "")
    cause = caught.value.cause
    assert isinstance(cause, SmProxyError)
    assert (cause.code, cause.hint) == ("access-denied", "mend")


def test_what_is_open_stands_in_the_state_folder_until_it_is_over(started: Started) -> None:
    folder = paths.state_dir() / "open-sessions"
    aws = account()
    connected(aws)
    assert len(list(folder.iterdir())) == 1
    started[0][1].over("s-1")
    assert list(folder.iterdir()) == []
    connected(aws)
    api(aws).terminate("s-1")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (ServiceError("DoesNotExistException", "gone", "x"), 0),
        (SmProxyError("network", "no"), 1),
    ],
)
def test_a_session_that_could_not_be_ended_is_left_to_a_later_run(
    answer: Exception, left: int
) -> None:
    aws = account(TerminateSession=answer)
    connected(aws)
    with contextlib.suppress(SmProxyError):
        api(aws).terminate("s-1")
    assert len(list((paths.state_dir() / "open-sessions").iterdir())) == left
    sessions.SESSIONS.end_all()
    assert aws.operations().count("TerminateSession") == 1


def test_what_a_record_of_the_connection_says(started: Started) -> None:
    connected(account())
    assert started[0][1].record_fields == {"bastion": "i-1", "address": "10.0.1.5", "port": 2222}
