"""The route to a Studio space: what it asks for, when it tries again, and what it says."""

from __future__ import annotations

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.routes import space as route
from sm_proxy.routes import table
from sm_proxy.settings import Settings
from tests.fakes import ARN, Answers, Clock, FakeAws, space
from tests.routes.helpers import GRANTED, Started

pytestmark = pytest.mark.usefixtures("started")


def refuses(code: str, words: str = "words") -> ServiceError:
    return ServiceError(code, words, "sagemaker:StartSession")


REGISTERING = refuses("InternalFailure")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(route, "time", clock)
    return clock


def account(*answers: Answers) -> FakeAws:
    return FakeAws(StartSession=list(answers) or GRANTED)  # type: ignore[arg-type]


def refused(aws: FakeAws, found: Container | None = None) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        table.connect(found or space(), Settings(), aws)
    assert caught.value.line.isprintable()
    assert caught.value.hint
    return caught.value


def test_one_call_names_the_space(started: Started) -> None:
    aws = account()
    table.connect(space(), Settings(), aws)
    assert aws.calls == [("StartSession", {"ResourceIdentifier": ARN})]
    ((_, options, _),) = started
    assert (options.session_type, options.target) == ("Port", f"space {ARN}")


def test_no_other_route_leads_to_a_space() -> None:
    with pytest.raises(SmProxyError) as caught:
        table.connect(space(), Settings(route="bastion"), account())
    assert caught.value.code == "route-unusable"


def test_a_space_that_still_registers_is_waited_for(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    aws = account(REGISTERING, REGISTERING, REGISTERING, GRANTED)
    table.connect(space(), Settings(), aws)
    assert aws.operations() == ["StartSession"] * 4
    assert clock.slept == [1.5, 2.25, 3.4]
    assert capsys.readouterr().err.count("My-Space is not registered") == 1


def test_the_wait_for_a_space_is_bounded(clock: Clock) -> None:
    aws = account(REGISTERING)
    error = refused(aws)
    assert error.code == "space-not-ready"
    assert "sm-proxy start sm-My-Space.space" in error.hint
    assert (len(aws.calls), round(sum(clock.slept), 2)) == (5, 10.55)


def test_a_cached_space_may_have_stopped_so_nothing_is_waited_for(clock: Clock) -> None:
    assert refused(account(REGISTERING), space(cached=True)).code == "space-not-ready"
    assert clock.slept == []


def test_another_error_ends_the_wait(clock: Clock) -> None:
    assert refused(account(REGISTERING, refuses("Other"))).code == "aws-error"
    assert clock.slept == [1.5]


@pytest.mark.parametrize(
    ("answer", "code", "hint"),
    [
        ("ResourceLimitExceeded", "space-busy", "Close one"),
        ("ResourceNotFound", "space-stopped", "sm-proxy start sm-My-Space.space"),
        ("ValidationException", "space-stopped", "sm-proxy start sm-My-Space.space"),
        ("Strange", "aws-error", "SM_PROXY_LOG"),
    ],
)
def test_a_refusal_names_the_next_step(answer: str, code: str, hint: str) -> None:
    error = refused(account(refuses(answer, "why \x1b[31m")))
    assert (error.code, hint in error.hint, "why" in error.message) == (code, True, True)


def test_denied_access_names_the_call_the_space_and_the_projects_role() -> None:
    denied = SmProxyError("access-denied", "sagemaker:StartSession is denied: no", "Allow it.")
    error = refused(account(denied))
    assert error.code == "access-denied"
    assert "sagemaker:StartSession" in error.message
    assert all(words in error.hint for words in ("Allow it.", ARN, "role of the project"))
