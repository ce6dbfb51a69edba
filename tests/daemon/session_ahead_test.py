"""The next session is started while one is in use, if the user wants that."""

from __future__ import annotations

import sys
import threading

import pytest

from sm_proxy.daemon import keeper, kept
from sm_proxy.local import debug_log
from sm_proxy.routes.ssm_session import Words
from sm_proxy.settings import Settings
from tests.daemon.kept_world import (
    REQUEST,
    Account,
    KeptWorld,
    echoed,
    greeted,
    starts,
    until_true,
)
from tests.routes.helpers import DENIED

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")


def test_the_next_session_is_started_ahead_if_the_user_wants_that(world: KeptWorld) -> None:
    ahead = Settings(session_ahead=True)
    first = greeted(world.stream(settings=ahead))
    until_true(lambda: len(world.shares.sessions) == 2)
    until_true(lambda: [each.streams for each in world.keepers.states()] == [1, 0])
    second = greeted(world.stream())
    assert (second.session_id, starts(world)) == ("s-2", 2)
    assert [len(session.all_streams) for session in world.shares.sessions] == [1, 1]
    for stream in (first, second):
        stream.close()


def test_only_one_session_is_started_ahead(world: KeptWorld) -> None:
    ahead = Settings(session_ahead=True)
    first = greeted(world.stream(settings=ahead))
    until_true(lambda: [each.streams for each in world.keepers.states()] == [1, 0])
    second = greeted(world.stream(settings=ahead))
    until_true(lambda: [each.streams for each in world.keepers.states()] == [1, 1, 0])
    second.close()
    until_true(lambda: [each.streams for each in world.keepers.states()] == [1, 0, 0])
    third = greeted(world.stream(settings=ahead))
    assert (third.session_id, starts(world)) == ("s-3", 3)
    for stream in (first, third):
        stream.close()


def test_a_session_that_cannot_be_started_ahead_costs_nothing(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()
    stream = greeted(world.stream())
    ahead = kept._Asked(
        world.inbox.sender.send, Account(DENIED), REQUEST, Words(), Settings(session_ahead=True)
    )
    monkeypatch.setattr(debug_log, "write", lambda *_, **__: asked.set())
    assert ahead.start_ahead() is None
    assert asked.wait(0)
    assert echoed(stream, b"still here") == b"still here"
    stream.close()


def test_no_session_is_started_ahead_after_a_refused_connection(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    greeted(world.stream()).close()
    until_true(lambda: [each.streams for each in world.keepers.states()] == [0])
    monkeypatch.setattr(keeper, "QUIET_BYTES", -1)
    stream = greeted(world.stream())
    until_true(lambda: not any(each.waited_for for each in world.keepers._keepers.values()))
    ahead = kept._Asked(
        world.inbox.sender.send, world.aws, REQUEST, Words(), Settings(session_ahead=True)
    )
    assert ahead.start_ahead() is None
    assert (stream.session_id, starts(world)) == ("s-2", 2)
    stream.close()
