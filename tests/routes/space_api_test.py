"""The calls of a session to a Studio space: it cannot be resumed, and its end may be denied."""

from __future__ import annotations

import os
import time

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths
from sm_proxy.routes import sessions
from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.routes.space_api import SpaceApi
from sm_proxy.ssm.session import FinalError, Grant
from sm_proxy.state import open_sessions
from tests.fakes import ARN, Answers, FakeAws
from tests.routes.helpers import GRANTED

DENIED = SmProxyError("access-denied", "denied", "ask")
GONE = ServiceError("DoesNotExistException", "gone", "ssm:ResumeSession")
AWAY = SmProxyError("network", "no answer", "look")


def api(aws: Aws, target: str = ARN) -> SpaceApi:
    return SpaceApi(aws, SessionRequest(target, None, {}, "reason"))


def unresumable(made: SpaceApi) -> SmProxyError:
    with pytest.raises(FinalError) as caught:
        made.resume("s-1")
    assert isinstance(caught.value.cause, SmProxyError)
    return caught.value.cause


def test_the_whole_query_of_the_stream_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "wss://x/v1/data-channel/s-1?role=publish_subscribe&cell-number=AAEA%3D"
    answers = {**GRANTED, "StreamUrl": url}
    monkeypatch.setattr(FakeAws, "stream_url", lambda _, given: Aws().stream_url(given))
    assert api(FakeAws(StartSession=answers)).start().stream_url == url
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSMMESSAGES", "https://vpce-1")
    assert api(FakeAws(StartSession=answers)).start() == Grant(
        "s-1", "t", url.replace("//x/", "//vpce-1/")
    )


def test_a_start_without_an_answer_is_tried_once_more() -> None:
    aws = FakeAws(StartSession=[AWAY, GRANTED])
    assert api(aws).start().session_id == "s-1"
    with pytest.raises(SmProxyError) as caught:
        api(FakeAws(StartSession=AWAY)).start()
    assert caught.value is AWAY


@pytest.mark.parametrize("answer", [DENIED, GONE])
def test_a_lost_session_ends_with_one_line(answer: Answers) -> None:
    error = unresumable(api(FakeAws(ResumeSession=answer)))
    assert error.code == "session-lost"
    assert "cannot be resumed" in error.message
    assert error.hint == "Connect again."


def test_a_denied_resume_is_remembered_for_a_day_and_for_its_space() -> None:
    aws = FakeAws(ResumeSession=[DENIED, GRANTED])
    unresumable(api(aws))
    unresumable(api(aws))
    assert len(aws.calls) == 1
    assert api(aws, f"{ARN}-2").resume("s-1") == Grant("s-1", "t", "wss://x")
    (note,) = (paths.cache_dir() / "no-resume").iterdir()
    os.utime(note, (0, time.time() - 25 * 3600))
    assert api(aws).resume("s-1") == Grant("s-1", "t", "wss://x")


def test_a_resume_that_fails_in_passing_is_tried_again() -> None:
    made = api(FakeAws(ResumeSession=[AWAY, GRANTED]))
    with pytest.raises(SmProxyError):
        made.resume("s-1")
    assert made.resume("s-1") == Grant("s-1", "t", "wss://x")


@pytest.mark.parametrize(("answer", "left"), [({}, []), (DENIED, []), (AWAY, ["s-1"])])
def test_no_later_run_repeats_a_denied_end(answer: Answers, left: list[str]) -> None:
    made = api(FakeAws(StartSession=GRANTED, TerminateSession=answer))
    sessions.Sessions().start(made, "scope")
    try:
        made.terminate("s-1")
    except SmProxyError as error:
        assert error is AWAY  # noqa: PT017 - one of three cases
    found = [open_sessions._read(path) for path in open_sessions._files()]
    assert [record["session"] for record in found if record] == left
