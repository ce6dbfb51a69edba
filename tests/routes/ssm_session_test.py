"""A session that is kept serves a connection only where both the daemon and the user want it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.routes import bastion, remote_debug, ssm_session
from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.settings import Settings
from sm_proxy.tunnel.stream import Stream
from tests.fakes import container
from tests.routes.helpers import DENIED, Started, account

KEPT = cast("Stream", "a kept stream")


class Source:
    """Gives one answer, and records the targets that it was asked for."""

    def __init__(self, answer: Stream | SmProxyError | None) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def __call__(self, _aws: Any, request: SessionRequest, *_: object) -> Stream | None:
        self.asked.append(request.target)
        if isinstance(self.answer, SmProxyError):
            raise self.answer
        return self.answer


def of_daemon(monkeypatch: pytest.MonkeyPatch, answer: Stream | SmProxyError | None) -> Source:
    source = Source(answer)
    monkeypatch.setattr(ssm_session, "kept_source", source)
    return source


def test_a_kept_session_spares_startsession(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = of_daemon(monkeypatch, KEPT)
    aws = account()
    assert bastion.connect(container(), Settings(), aws) is KEPT
    assert remote_debug.connect(container(remote_debug=True), Settings(), aws) is KEPT
    assert source.asked == ["i-1", container().training_target]
    assert "StartSession" not in dict(aws.calls)
    assert not started


@pytest.mark.parametrize("keep_session", [0, 120])
def test_without_a_kept_session_one_is_started(
    keep_session: int, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = of_daemon(monkeypatch, None)
    settings = Settings(keep_session=keep_session)
    assert bastion.connect(container(), settings, account()) == cast("Stream", "a session")
    assert len(started) == 1
    assert source.asked == (["i-1"] if keep_session else [])


def test_no_kept_session_is_used_if_the_user_switched_it_off(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = of_daemon(monkeypatch, KEPT)
    bastion.connect(container(), Settings(keep_session=0), account())
    assert (len(started), source.asked) == (1, [])


def test_a_refused_startsession_is_the_same_error_with_a_kept_session(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_daemon(monkeypatch, DENIED)
    with pytest.raises(SmProxyError) as caught:
        bastion.connect(container(), Settings(), account())
    assert caught.value is DENIED
    assert not started
