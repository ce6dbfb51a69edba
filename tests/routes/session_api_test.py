from __future__ import annotations

import contextlib
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths
from sm_proxy.routes import sessions
from sm_proxy.settings import Settings
from sm_proxy.ssm.session import FinalError, Grant
from tests.fakes import Answers, FakeAws
from tests.routes.helpers import DENIED, GRANTED, Started, account, agents, api, connected, refused

pytestmark = pytest.mark.usefixtures("started")
NOT_CONNECTED = ServiceError("TargetNotConnected", "i-1 is not connected.", "ssm:StartSession")


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        (agents(("i-9", "ConnectionLost", "3.3.0.0")), "(ConnectionLost)"),
        (agents(), "(unknown to SSM)"),
        (DENIED, "to SSM:"),
        (SmProxyError("throttled", "slow"), "to SSM:"),
    ],
)
def test_a_disconnected_target_is_reported_with_its_status(known: Answers, shown: str) -> None:
    aws = account(StartSession=NOT_CONNECTED, DescribeInstanceInformation=known)
    error = refused(aws, Settings(bastion="i-9"))
    assert error.code == "bastion-offline"
    assert shown in error.message
    assert "i-1 is not connected." in error.message
    assert aws.operations() == ["DescribeInstanceInformation", "StartSession"]


def test_a_session_refused_by_an_old_agent_is_explained() -> None:
    aws = account(
        StartSession=ServiceError("InvalidDocument", "not supported", "ssm:StartSession"),
        DescribeInstanceInformation=agents(("i-9", "Online", "2.0.0.0")),
    )
    assert refused(aws, Settings(bastion="i-9")).code == "agent-too-old"


def test_an_invalid_target_is_no_bastion() -> None:
    aws = account(StartSession=ServiceError("InvalidTarget", "no", "ssm:StartSession"))
    assert refused(aws, Settings(bastion="i-9")).code == "no-bastion"


def test_resume_returns_a_new_grant() -> None:
    assert api(FakeAws(ResumeSession=GRANTED)).resume("s-1") == Grant("s-1", "t", "wss://x")
    without_url = {"SessionId": "s-1", "TokenValue": "t"}
    assert api(FakeAws(ResumeSession=without_url)).resume("s-1") == Grant("s-1", "t", "")


def test_the_stream_is_opened_at_its_private_endpoint(
    monkeypatch: pytest.MonkeyPatch, started: Started
) -> None:
    placed = lambda _, url: url.replace("wss://x", "wss://vpce-1")  # noqa: E731
    monkeypatch.setattr(FakeAws, "stream_url", placed)
    connected(account())
    assert started[0][2].stream_url == "wss://vpce-1"
    assert api(FakeAws(ResumeSession=GRANTED)).resume("s-1") == Grant("s-1", "t", "wss://vpce-1")


@pytest.mark.parametrize(
    "answer", [{"SessionId": "s-1"}, ServiceError("DoesNotExistException", "gone", "x")]
)
def test_resuming_a_session_that_is_over_returns_none(
    answer: dict[str, Any] | ServiceError,
) -> None:
    assert api(FakeAws(ResumeSession=answer)).resume("s-1") is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Unable to connect to specified port: connection refused", "connect-refused"),
        ("dial tcp 10.0.0.7:22: i/o timeout", "connect-refused"),
        ("lookup x: no such host", "no-address"),
        ("Forwarding to IP address 10.0.0.2 is forbidden.", "address-refused"),
        ("something else", "aws-error"),
    ],
)
def test_a_failed_dial_reported_by_start_session_has_its_code(text: str, code: str) -> None:
    aws = account(
        StartSession=ServiceError("InternalServerError", text, "ssm:StartSession"),
        DescribeInstanceInformation={},
    )
    assert refused(aws, Settings(bastion="i-1")).code == code


@pytest.mark.parametrize("code", ["access-denied", "no-credentials", "expired-credentials"])
def test_an_error_that_a_retry_cannot_fix_is_final(code: Any) -> None:
    with pytest.raises(FinalError, match="why") as caught:
        api(FakeAws(ResumeSession=SmProxyError(code, "why", "fix"))).resume("s-1")
    cause = caught.value.cause
    assert isinstance(cause, SmProxyError)
    assert (cause.code, cause.hint) == (code, "fix")
    assert cause.message == "the connection was lost and cannot be resumed: why"


@pytest.mark.parametrize(
    "error", [SmProxyError("network", "why"), ServiceError("InternalError", "why", "x")]
)
def test_an_error_that_a_retry_may_fix_is_not_final(error: Exception) -> None:
    with pytest.raises(type(error), match="why"):
        api(FakeAws(ResumeSession=error)).resume("s-1")


@pytest.mark.parametrize("challenge", ["", "c"])
def test_the_data_key_is_made_for_this_session_and_target(challenge: str) -> None:
    aws = FakeAws(GenerateDataKey={"CiphertextBlob": b"c", "Plaintext": b"p"})
    assert api(aws).data_key("k", "s-1", challenge) == (b"c", b"p")
    ((_, asked),) = aws.calls
    context = {"aws:ssm:SessionId": "s-1", "aws:ssm:TargetId": "i-1"}
    if challenge:
        context["aws:ssm:RandomChallenge"] = challenge
    assert asked == {"KeyId": "k", "NumberOfBytes": 64, "EncryptionContext": context}


def test_a_denied_key_is_final() -> None:
    denied = SmProxyError("access-denied", "no kms:GenerateDataKey", "fix")
    with pytest.raises(FinalError, match="key k: no kms:GenerateDataKey") as caught:
        api(FakeAws(GenerateDataKey=denied)).data_key("k", "s-1", "")
    cause = caught.value.cause
    assert isinstance(cause, SmProxyError)
    assert (cause.code, cause.hint) == ("access-denied", "fix")


@pytest.mark.parametrize(
    "word", ["DisabledException", "KMSInvalidStateException", "NotFoundException"]
)
def test_an_unusable_key_is_final(word: str) -> None:
    gone = ServiceError(word, "arn:k is disabled.", "kms:GenerateDataKey")
    with pytest.raises(FinalError, match="key k, which cannot be used") as caught:
        api(FakeAws(GenerateDataKey=gone)).data_key("k", "s-1", "")
    cause = caught.value.cause
    assert isinstance(cause, SmProxyError)
    assert "enable the key" in cause.hint
    late = ServiceError("KMSInternalException", "oops", "kms:GenerateDataKey")
    with pytest.raises(ServiceError):
        api(FakeAws(GenerateDataKey=late)).data_key("k", "s-1", "")


def test_a_session_is_recorded_until_it_is_over(started: Started) -> None:
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
def test_a_session_that_cannot_be_terminated_is_left_to_a_later_run(
    answer: Exception, left: int
) -> None:
    aws = account(TerminateSession=answer)
    connected(aws)
    with contextlib.suppress(SmProxyError):
        api(aws).terminate("s-1")
    assert len(list((paths.state_dir() / "open-sessions").iterdir())) == left
    sessions.SESSIONS.end_all()
    assert aws.operations().count("TerminateSession") == 1
