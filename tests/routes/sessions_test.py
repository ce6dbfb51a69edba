"""No session is left open at the end, whenever a hang-up comes."""

from __future__ import annotations

import threading

import pytest

from sm_proxy.local import paths
from sm_proxy.local.signals import Hangup
from sm_proxy.local.threads import Background
from sm_proxy.routes.sessions import Sessions
from sm_proxy.ssm.api import Grant


@pytest.fixture(autouse=True)
def generous_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls run in threads, which a busy machine may start late."""
    monkeypatch.setattr("sm_proxy.routes.sessions._END_S", 60)
    monkeypatch.setattr("sm_proxy.ssm.api.TERMINATE_DEADLINE_S", 60)


class Api:
    """Grants one session; with `slow`, only once `go` is set."""

    def __init__(self, session_id: str = "s-1", *, slow: bool = False) -> None:
        self.session_id = session_id
        self.asked, self.go = threading.Event(), threading.Event()
        self.ended: list[str] = []
        if not slow:
            self.go.set()

    def start(self) -> Grant:
        self.asked.set()
        self.go.wait(30)
        return Grant(self.session_id, "token", "wss://x")

    def resume(self, session_id: str) -> Grant | None:
        raise NotImplementedError

    def terminate(self, session_id: str) -> None:
        self.ended.append(session_id)

    def data_key(self, key_id: str, session_id: str, challenge: str) -> tuple[bytes, bytes]:
        raise NotImplementedError


def records() -> int:
    return len(list(paths.state_dir().glob("open-sessions/*")))


def test_an_open_session_is_terminated() -> None:
    sessions, api = Sessions(), Api()
    sessions.start(api, "here")
    assert records() == 1
    sessions.end_all()
    assert api.ended == ["s-1"]
    assert records() == 1, "terminated or not: `terminate` has to say so"


def test_every_open_session_is_terminated() -> None:
    sessions, apis = Sessions(), [Api("s-1"), Api("s-2")]
    for api in apis:
        sessions.start(api, "here")
    sessions.end_all()
    assert [api.ended for api in apis] == [["s-1"], ["s-2"]]


def test_a_session_that_is_over_is_not_terminated() -> None:
    sessions, api = Sessions(), Api()
    sessions.start(api, "here")
    sessions.over("s-1")
    sessions.end_all()
    assert (api.ended, records()) == ([], 0)


def test_a_session_being_terminated_is_not_terminated_twice() -> None:
    sessions, api = Sessions(), Api()
    sessions.start(api, "here")
    sessions.leave("s-1")
    sessions.end_all()
    assert (api.ended, records()) == ([], 1)


def test_a_session_being_granted_is_awaited_and_terminated() -> None:
    sessions, api = Sessions(), Api(slow=True)
    starting = Background(lambda: sessions.start(api, "here"))
    assert api.asked.wait(30)
    threading.Timer(0.2, api.go.set).start()
    sessions.end_all()
    assert starting.result().session_id == "s-1"
    assert api.ended == ["s-1"]


def test_no_session_starts_after_the_end() -> None:
    sessions, api = Sessions(), Api()
    sessions.end_all()
    with pytest.raises(Hangup):
        sessions.start(api, "here")
    assert not api.asked.is_set()


def test_a_refused_session_leaves_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions, api = Sessions(), Api()

    def refused() -> Grant:
        raise ValueError("denied")

    monkeypatch.setattr(api, "start", refused)
    with pytest.raises(ValueError, match="denied"):
        sessions.start(api, "here")
    sessions.end_all()
    assert (api.ended, records()) == ([], 0)
