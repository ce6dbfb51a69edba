"""sagemaker:StartSession."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.sagemaker.studio.conftest import HELD, QUICK, SPEC, NewSpace, app


@pytest.fixture
def running(lab: Lab, new_space: NewSpace) -> str:
    """The ARN of a space with a running app."""
    space = new_space()
    lab.client("sagemaker").create_app(**app(space, ResourceSpec=SPEC))
    return str(lab.client("sagemaker").describe_space(**space)["SpaceArn"])


def _start(lab: Lab, arn: str) -> Any:
    return lab.client("sagemaker").start_session(ResourceIdentifier=arn)


def _refused(lab: Lab, arn: str) -> tuple[str, int]:
    code, _, status = refusal(lab.client("sagemaker").start_session, ResourceIdentifier=arn)
    return code, status


def test_a_session_leads_to_the_app_by_a_plain_stream(lab: Lab, running: str) -> None:
    started = _start(lab, running)
    assert {"SessionId", "StreamUrl", "TokenValue"} < {*started}
    asked = lab.gateway.asked[-1]
    assert asked["document"] == "AWS-StartSSHSession"
    assert asked["parameters"] == {"portNumber": ["2222"]}
    assert asked["target"].startswith("sagemaker-space:")


def test_a_space_without_a_running_app_is_not_found(lab: Lab, new_space: NewSpace) -> None:
    space = new_space()
    arn = lab.client("sagemaker").describe_space(**space)["SpaceArn"]
    assert _refused(lab, arn) == ("ResourceNotFound", 400)
    assert _refused(lab, arn.lower()) == ("ResourceNotFound", 400)
    assert _refused(lab, arn.replace("123456789012", "210987654321"))[0] == "ResourceNotFound"
    lab.control.faults(studio={**QUICK, "app_ms": HELD})
    lab.client("sagemaker").create_app(**app(space, ResourceSpec=SPEC))
    assert _refused(lab, arn) == ("ResourceNotFound", 400)


def test_a_space_without_remote_access_is_refused(lab: Lab, new_space: NewSpace) -> None:
    space = new_space(remote="DISABLED")
    sagemaker = lab.client("sagemaker")
    sagemaker.create_app(**app(space, ResourceSpec=SPEC))
    arn = sagemaker.describe_space(**space)["SpaceArn"]
    assert _refused(lab, arn) == ("ValidationException", 400)


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:sagemaker:us-east-1:123456789012:training-job/job",
        "arn:aws:sagemaker:us-east-1:123456789012:space/name",
    ],
)
def test_only_the_arn_of_a_space_is_valid(lab: Lab, arn: str) -> None:
    assert _refused(lab, arn) == ("ValidationException", 400)


def test_ten_connections_are_the_limit(lab: Lab, running: str) -> None:
    sessions = [_start(lab, running)["SessionId"] for _ in range(10)]
    assert _refused(lab, running) == ("ResourceLimitExceeded", 400)
    del lab.gateway.open[sessions[3]]  # it has ended
    assert _start(lab, running)


def test_two_at_once_do_not_both_get_the_last_place(
    lab: Lab, running: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(9):
        _start(lab, running)
    start = lab.gateway._start
    counted = len(lab.gateway.asked) + 2  # "list", then this "start"

    def held(request: dict[str, Any]) -> dict[str, Any]:
        until = time.monotonic() + 0.3
        while len(lab.gateway.asked) == counted and time.monotonic() < until:
            time.sleep(0.005)
        return start(request)

    def refused(_: object) -> bool:
        try:
            return not _start(lab, running)
        except ClientError:
            return True

    monkeypatch.setattr(lab.gateway, "_start", held)
    with ThreadPoolExecutor(2) as both:
        assert sorted(both.map(refused, range(2))) == [False, True]


def test_a_new_app_is_registered_late(lab: Lab, running: str) -> None:
    lab.control.faults(studio={**QUICK, "registration_ms": HELD})
    assert _refused(lab, running) == ("InternalFailure", 500)
    lab.control.faults(studio=QUICK)
    assert _start(lab, running)


def test_no_caller_may_resume_or_terminate_such_a_session(lab: Lab, running: str) -> None:
    session = _start(lab, running)["SessionId"]
    ssm = lab.client("ssm")
    for call in (ssm.resume_session, ssm.terminate_session):
        code, message, _ = refusal(call, SessionId=session)
        assert code == "AccessDeniedException"
        assert f":session/{session} " in message
    assert session in lab.gateway.open
    assert session not in str(ssm.describe_sessions(State="Active")["Sessions"])
