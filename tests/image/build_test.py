"""A build is followed to its end, whatever happens to the laptop meanwhile."""

from __future__ import annotations

import json
import signal
import threading
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.image import build as builds
from sm_proxy.image import build_log
from sm_proxy.image.build import Request
from sm_proxy.image.build_log import BuildLog
from sm_proxy.image.buildspec import Order
from sm_proxy.image.names import Registry
from sm_proxy.local.signals import Hangup
from sm_proxy.local.threads import Background
from tests.fakes import Answer, FakeAws
from tests.image.account import ACCOUNT, HOST, NAME, PROJECT, account, build, log

FAULT = ServiceError("InternalFailure", "ours", "codebuild:BatchGetBuilds", passing=True)
NETWORK = SmProxyError("network", "no route", "Check the network.")


class Clock:
    """Time that passes only in `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(builds, "time", found)
    monkeypatch.setattr(build_log, "time", found)
    return found


def request(**changes: Any) -> Request:
    registries = [Registry(HOST, ACCOUNT, "eu-west-1")]
    order = Order(f"{HOST}/byoc", "1", registries, arguments={"A": "b"})
    given: dict[str, Any] = {"project": PROJECT, "order": order, "source": "the-bucket/build/x.zip"}
    return Request(**{**given, **changes})


def run(aws: FakeAws, **changes: Any) -> tuple[dict[str, Any], list[str], list[str]]:
    """The build at its end, the lines of its log, and what else the user was told."""
    lines: list[str] = []
    told: list[str] = []
    watched = BuildLog(aws, lines.append, told.append)
    return builds.run(aws, request(**changes), watched, told.append), lines, told


def test_a_build_is_started_with_all_that_it_needs(clock: Clock) -> None:
    aws = account()
    run(aws, timeout_s=301, compute="2xlarge")
    _, given = next(call for call in aws.calls if call[0] == "StartBuild")
    assert len(given.pop("idempotencyToken")) == 32
    assert json.loads(given.pop("buildspecOverride"))["version"] == "0.2"
    assert given == {
        "projectName": "sm-proxy-image",
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": "the-bucket/build/x.zip",
        "environmentVariablesOverride": [
            {"name": "SM_PROXY_REPOSITORY", "value": f"{HOST}/byoc", "type": "PLAINTEXT"},
            {"name": "SM_PROXY_IMAGE", "value": f"{HOST}/byoc:1", "type": "PLAINTEXT"},
            {"name": "SM_PROXY_BUILD_ARG_1", "value": "A=b", "type": "PLAINTEXT"},
        ],
        "timeoutInMinutesOverride": 6,
        "computeTypeOverride": "BUILD_GENERAL1_2XLARGE",
    }


def test_codebuild_knows_what_it_is_asked_for() -> None:
    service = Session().get_service_model("codebuild")
    model: Any = service.operation_model("StartBuild").input_shape
    given = request(compute=builds.COMPUTE[0]).parameters()
    assert not ParamValidator().validate(given, model).has_errors()
    known = model.members["computeTypeOverride"].enum
    assert all(builds._compute_type(size) in known for size in builds.COMPUTE)


def test_the_log_is_shown_as_it_comes_and_to_its_end(clock: Clock) -> None:
    done, lines, told = run(account())
    assert done["buildStatus"] == "SUCCEEDED"
    assert lines == ["Step 1", "[Container] Phase complete: POST_BUILD"]
    assert told[0] == f"the build is {NAME}; ^C stops it"
    assert max(clock.sleeps) <= 5


def test_a_quiet_build_is_asked_for_less_often(clock: Clock) -> None:
    run(account(BatchGetBuilds=[*[build()] * 9, build("SUCCEEDED")], GetLogEvents=log()))
    following = clock.sleeps[:8]
    assert following == sorted(following)
    assert following[-1] == 5


def test_a_wait_in_the_queue_is_reported_once(clock: Clock) -> None:
    queued = [build(phase="QUEUED")] * 20
    told = run(account(BatchGetBuilds=[*queued, build("SUCCEEDED")]))[2]
    assert sum("queue" in line for line in told) == 1


def test_time_in_the_queue_does_not_count(clock: Clock) -> None:
    answers: list[Answer] = [*[build(phase="QUEUED")] * 300, *[NETWORK] * 20, build("SUCCEEDED")]
    assert run(account(BatchGetBuilds=answers), timeout_s=300)[0]["buildStatus"] == "SUCCEEDED"


def test_a_lost_network_is_waited_for(clock: Clock) -> None:
    others = [SmProxyError("throttled", "slow down"), FAULT]
    answers: list[Answer] = [build(), *[NETWORK] * 10, *others, build(), build("SUCCEEDED")]
    done, _, told = run(account(BatchGetBuilds=answers))
    assert done["buildStatus"] == "SUCCEEDED"
    assert sum("no route" in line for line in told) == 1
    assert "CodeBuild answers again" in told


def test_a_network_that_stays_lost_is_given_up(clock: Clock) -> None:
    with pytest.raises(SmProxyError, match="no route"):
        run(account(BatchGetBuilds=[build(), NETWORK]), timeout_s=300)
    assert 300 < clock.now < 320


def test_expired_credentials_are_reported_with_the_build(clock: Clock) -> None:
    expired = SmProxyError("expired-credentials", "expired")
    aws = account(BatchGetBuilds=[build(), expired])
    told: list[str] = []
    watched = BuildLog(aws, told.append, told.append)
    with pytest.raises(SmProxyError, match="expired"):
        builds.run(aws, request(), watched, told.append)
    assert told[-1] == f"the build {NAME} continues, but is not watched any more"
    assert "StopBuild" not in aws.operations()


def test_an_unreadable_log_is_reported_once_and_the_build_continues(clock: Clock) -> None:
    denied = SmProxyError("access-denied", "logs:GetLogEvents is denied", "Allow it.")
    aws = account(GetLogEvents=denied, BatchGetBuilds=[*[build()] * 5, build("SUCCEEDED")])
    done, lines, told = run(aws)
    assert done["buildStatus"] == "SUCCEEDED"
    assert lines == []
    assert sum("logs:GetLogEvents is denied. Allow it." in line for line in told) == 1


def test_the_limit_of_concurrent_builds_is_reported(clock: Clock) -> None:
    full = ServiceError("AccountLimitExceededException", "more than 1 in queue", "x")
    with pytest.raises(SmProxyError, match="more than 1 in queue") as caught:
        run(account(StartBuild=full))
    assert caught.value.code == "build-failed"


def raised(answer: Any) -> Any:
    if isinstance(answer, BaseException):
        raise answer
    return answer


@pytest.fixture
def no_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test process keeps its handlers."""
    monkeypatch.setattr("sm_proxy.local.signals._handle", lambda *_: None)
    monkeypatch.setattr("sm_proxy.local.signals.ignore", lambda: None)


@pytest.mark.usefixtures("no_signals")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, Hangup])
def test_an_interrupt_stops_the_build_and_waits_for_that(
    clock: Clock, kind: type[BaseException]
) -> None:
    states = iter([kind(signal.SIGINT), build(), build("STOPPED")])
    told: list[str] = []
    aws = account(StopBuild={}, BatchGetBuilds=lambda **_: raised(next(states)))
    with pytest.raises(kind):
        builds.run(aws, request(), BuildLog(aws, told.append, told.append), told.append)
    assert ("StopBuild", {"id": NAME}) in aws.calls
    assert told[-1] == "the build has ended: STOPPED"


@pytest.mark.usefixtures("no_signals")
@pytest.mark.parametrize("trouble", [NETWORK, FAULT])
def test_a_call_that_fails_for_a_moment_does_not_keep_the_build_going(
    clock: Clock, trouble: Exception
) -> None:
    states = iter([KeyboardInterrupt(), trouble, build("STOPPED")])
    told: list[str] = []
    calls: list[Answer] = [trouble, {}]
    aws = account(StopBuild=calls, BatchGetBuilds=lambda **_: raised(next(states)))
    with pytest.raises(KeyboardInterrupt):
        builds.run(aws, request(), BuildLog(aws, told.append, told.append), told.append)
    assert told[-1] == "the build has ended: STOPPED"


@pytest.mark.usefixtures("no_signals")
def test_a_build_that_cannot_be_stopped_is_reported_with_the_command(clock: Clock) -> None:
    aws = account(StopBuild=NETWORK, BatchGetBuilds=lambda **_: raised(Hangup(signal.SIGINT)))
    told: list[str] = []
    with pytest.raises(Hangup):
        builds.run(aws, request(), BuildLog(aws, told.append, told.append), told.append)
    assert "no route" in told[-1]
    assert f"aws codebuild stop-build --region eu-west-1 --id {NAME}" in told[-1]


@pytest.mark.usefixtures("no_signals")
def test_an_interrupt_while_the_build_is_started_stops_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    going = threading.Event()

    def start(**_: Any) -> dict[str, Any]:
        assert going.wait(20)
        return {"build": {"id": NAME}}

    def interrupted(_: Any) -> str:
        going.set()
        raise Hangup(signal.SIGHUP)

    monkeypatch.setattr(Background, "result", interrupted)
    aws = account(StartBuild=start, StopBuild={}, BatchGetBuilds=build("STOPPED"))
    with pytest.raises(Hangup):
        builds.run(aws, request(), BuildLog(aws, told.append, told.append), told.append)
    assert told[-1] == "the build has ended: STOPPED"
    denied = account(StartBuild=SmProxyError("access-denied", "denied"))
    with pytest.raises(Hangup):
        builds.run(denied, request(), BuildLog(aws, told.append, told.append), told.append)
    assert denied.operations() == ["StartBuild"]
