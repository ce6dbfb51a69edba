"""The route through RemoteDebug's agent: what it asks for, when it waits, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.routes import remote_debug, ssm_session, table
from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.routes.ssm_session import Words
from sm_proxy.settings import Settings
from tests.fakes import Answers, Clock, FakeAws, container
from tests.routes.helpers import DENIED, GRANTED, Started

pytestmark = pytest.mark.usefixtures("started")
AWAY = ServiceError(
    "TargetNotConnected", "sagemaker-training-job:my-job_algo-1 is not connected.", "ssm:x"
)
REFUSED = ServiceError("BadRequest", "dial tcp 127.0.0.1:2222: connection refused", "ssm:x")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(remote_debug, "time", clock)
    return clock


def debugged(**changes: Any) -> Container:
    return container(**{"address": None, "vpc_id": None, "remote_debug": True, **changes})


def account(*answers: Answers) -> FakeAws:
    return FakeAws(StartSession=list(answers) or GRANTED, TerminateSession={})  # type: ignore[arg-type]


def refused(aws: FakeAws, found: Container | None = None, wait: int = 900) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        remote_debug.connect(found or debugged(), Settings(wait=wait), aws)
    assert caught.value.line.isprintable()
    return caught.value


def test_the_session_goes_to_the_containers_own_port(started: Started) -> None:
    aws = account()
    found = debugged(node="algo-2", port=2201)
    remote_debug.connect(found, Settings(), aws)
    target = "sagemaker-training-job:my-job_algo-2"
    asked = {
        "Target": target,
        "DocumentName": "AWS-StartPortForwardingSession",
        "Parameters": {"portNumber": ["2201"], "localPortNumber": ["0"]},
        "Reason": "sm-proxy my-job",
    }
    assert aws.calls == [("StartSession", asked)]
    assert started[0][1].target == f"remote-debug {target}"


def test_without_an_address_this_route_is_taken() -> None:
    aws = account()
    table.connect(debugged(), Settings(), aws)
    assert aws.operations() == ["StartSession"]


@pytest.mark.parametrize(
    ("found", "usable", "reason"),
    [
        (debugged(), True, "RemoteDebug of my-job is on"),
        (container(remote_debug=True), True, "RemoteDebug of my-job is on"),
        (
            container(),
            False,
            "RemoteDebug of my-job is off (sm-proxy enable-remote-debug sm-my-job)",
        ),
        (container(kind="processing"), False, "only training jobs have RemoteDebug"),
    ],
)
def test_the_verdict_needs_no_call(found: Container, usable: bool, reason: str) -> None:
    aws = FakeAws()
    verdict = remote_debug.verdict(found, Settings(), aws)
    assert (verdict.usable, verdict.reason) == (usable, reason)
    assert aws.calls == []


def test_a_forced_route_says_how_to_switch_remote_debug_on() -> None:
    with pytest.raises(SmProxyError) as caught:
        table.connect(container(), Settings(route="remote-debug"), FakeAws())
    assert caught.value.code == "route-unusable"
    assert "sm-proxy enable-remote-debug sm-my-job" in caught.value.message


def test_a_job_whose_remote_debug_is_off_is_no_error_of_its_own() -> None:
    assert remote_debug.verdict(container(), Settings(), FakeAws()).error is None


def test_an_agent_that_still_starts_is_waited_for(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    aws = account(AWAY, AWAY, GRANTED)
    remote_debug.connect(debugged(), Settings(), aws)
    assert aws.operations() == ["StartSession"] * 3
    assert len(clock.slept) == 2
    shown = capsys.readouterr().err
    assert shown.count("for the agent in the container of sm-my-job to connect") == 1


@pytest.mark.parametrize(("wait", "longest"), [(900, 60.0), (20, 20.0), (0, 0.0)])
def test_the_wait_for_the_agent_is_bounded(clock: Clock, wait: int, longest: float) -> None:
    error = refused(account(AWAY), wait=wait)
    assert error.code == "remote-debug-off"
    assert "ssmmessages:CreateControlChannel" in error.hint
    assert sum(clock.slept) == pytest.approx(longest)


def test_a_cached_job_may_have_ended_so_nothing_is_waited_for(clock: Clock) -> None:
    assert refused(account(AWAY), debugged(cached=True)).code == "remote-debug-off"
    assert clock.slept == []


def test_another_error_ends_the_wait() -> None:
    assert refused(account(AWAY, DENIED)) is DENIED


def test_a_closed_port_names_the_next_step() -> None:
    error = refused(account(REFUSED))
    assert error.code == "connect-refused"
    assert "sm-proxy doctor sm-my-job" in error.hint
    error = refused(account(REFUSED), debugged(source="session"))
    assert "sm-proxy bootstrap sm-my-job" in error.hint


def test_other_errors_of_the_service_are_reported() -> None:
    error = refused(account(ServiceError("InternalError", "oops", "ssm:StartSession")))
    assert (error.code, "oops" in error.message) == ("aws-error", True)


def test_an_agent_that_restarts_is_waited_for_if_its_session_was_kept(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Words] = []
    answers: list[Any] = ["a kept one", SmProxyError("remote-debug-off", "away"), "a new one"]

    def kept(_: Aws, __: SessionRequest, words: Words, ___: Settings) -> Any:
        given.append(words)
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    monkeypatch.setattr(ssm_session, "kept_source", kept)
    settings = Settings(wait=900)
    assert str(remote_debug.connect(debugged(cached=True), settings, account())) == "a kept one"
    instead = given[0].instead
    assert instead is not None
    with pytest.raises(SmProxyError, match=DENIED.message):
        instead(DENIED)
    assert str(instead(SmProxyError("remote-debug-off", "away"))) == "a new one"
    assert not answers
