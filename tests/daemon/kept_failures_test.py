"""What goes wrong with a kept session costs a connection no more than with one of its own."""

from __future__ import annotations

import math
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from sm_proxy.daemon import kept, kept_stream
from sm_proxy.daemon.kept_stream import JoinedStream, KeptStream
from sm_proxy.daemon.lines import Lines
from sm_proxy.errors import SmProxyError
from sm_proxy.local.threads import Background
from sm_proxy.routes import sessions
from sm_proxy.routes.ssm_session import Words
from sm_proxy.ssm.api import SessionEndedError
from sm_proxy.state import open_sessions
from sm_proxy.tunnel.stream import Stream
from tests.daemon.kept_world import (
    REQUEST,
    Account,
    KeptWorld,
    drive,
    greeted,
    starts,
    until_true,
)
from tests.routes.helpers import DENIED

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")


def test_a_refused_startsession_is_the_error_of_the_connection(world: KeptWorld) -> None:
    with pytest.raises(SmProxyError) as caught:
        world.stream(aws=Account(DENIED))
    assert caught.value is DENIED
    until_true(lambda: not len(world.keepers))
    greeted(world.stream()).close()


def test_a_websocket_that_cannot_be_opened_is_an_error_in_the_words_of_the_route(
    world: KeptWorld,
) -> None:
    world.shares.error = SessionEndedError("unopened", "no way there")
    with pytest.raises(SmProxyError) as caught:
        world.stream()
    assert (caught.value.code, caught.value.message) == ("network", "no way there")
    assert sessions.SESSIONS._open == {}


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (SessionEndedError("lost", "gone"), "session-lost"),
        (SessionEndedError("refused", "no sshd"), "connect-refused"),
        (SmProxyError("expired-credentials", "gone", "log in"), "expired-credentials"),
        (ValueError("gone"), "session-lost"),
    ],
)
def test_a_lost_session_ends_each_stream_with_its_reason(
    world: KeptWorld, failure: Exception, code: str
) -> None:
    streams = [greeted(world.stream()), greeted(world.stream())]
    session = world.shares.sessions[0]
    session.all_streams[0].incoming += b"the last bytes"
    session.fail(failure)
    assert drive(streams[0], lambda _: False) == b"the last bytes"
    assert drive(streams[1], lambda _: False) == b""
    for stream in streams:
        assert isinstance(stream.failure, SmProxyError)
        assert stream.failure.code == code
        stream.close()
    greeted(world.stream()).close()
    assert starts(world) == 2


def test_a_killed_keeper_costs_its_connections_no_more_than_a_cut(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = greeted(world.stream())
    assert isinstance(stream, KeptStream)
    stream._lines.socket.shutdown(socket.SHUT_RD)
    stream._inner.socket.shutdown(socket.SHUT_RD)
    monkeypatch.setattr(kept_stream, "_LAST_WORD_S", 0.1)
    drive(stream, lambda _: False)
    assert isinstance(stream.failure, SmProxyError)
    assert stream.failure.code == "session-lost"
    stream.close()


def test_an_ended_keeper_ends_its_session_and_says_so(world: KeptWorld) -> None:
    stream = greeted(world.stream())
    world.signal()
    drive(stream, lambda _: False)
    assert isinstance(stream.failure, SmProxyError)
    assert stream.failure.code == "session-lost"
    until_true(world.shares.sessions[0].closed.is_set)
    stream.close()


def test_a_kept_session_that_leads_nowhere_is_replaced(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_stream, "PATIENCE_S", 0.1)
    world.shares.silent = True
    first = world.stream()
    world.shares.silent = False
    second = world.stream()
    assert second is not None
    assert second.session_id == "s-1"
    greeted(second)
    assert second.session_id == "s-2"
    monkeypatch.setattr(kept_stream, "PATIENCE_S", 60)
    third = greeted(world.stream())
    assert (third.session_id, starts(world)) == ("s-2", 2)
    for stream in (first, second, third):
        assert stream is not None
        stream.close()


@pytest.mark.parametrize(("answers", "session"), [(True, "s-1"), (False, "s-2")])
def test_a_slow_server_is_waited_for_if_the_agent_of_the_session_answers(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch, *, answers: bool, session: str
) -> None:
    answer_s = 60.0 if answers else 0.1
    monkeypatch.setattr(kept_stream, "_ANSWER_S", answer_s)
    monkeypatch.setattr(kept_stream, "PATIENCE_S", answer_s + 0.1)
    world.shares.silent = True
    first, second = world.stream(), world.stream()
    assert first is not None
    assert isinstance(second, JoinedStream)
    drive(second, lambda _: second.opened)
    world.shares.sessions[0].all_streams[1].acknowledges = answers
    world.shares.silent = False
    second.write(b"SSH-2.0-ours")

    def settled() -> bool:
        second.advance(time.monotonic(), readable=False)
        return second.session_id == "s-2" or second._due == math.inf

    until_true(settled)
    assert second.session_id == session
    first.close()
    second.close()


def test_the_route_finds_another_way_if_a_kept_session_is_dead_and_no_other_starts(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_stream, "PATIENCE_S", 0.1)
    world.shares.silent = True
    first = world.stream()
    world.shares.silent = False
    failures: list[SmProxyError] = []

    def instead(failure: SmProxyError) -> Stream:
        failures.append(failure)
        found = world.stream(request=replace(REQUEST, target="i-2"))
        assert found is not None
        return found

    words = Words(route="bastion", instead=instead)
    second = greeted(world.stream(aws=Account(DENIED), words=words))
    assert failures == [DENIED]
    assert second.session_id == "s-2"
    third = world.stream()
    for stream in (first, second, third):
        assert stream is not None
        stream.close()


def test_without_a_daemon_the_connection_starts_a_session_of_its_own(world: KeptWorld) -> None:
    world.stop_daemon()
    assert world.stream() is None
    assert world.aws.calls == []


def test_a_keeper_that_does_not_answer_is_not_waited_for(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "ANSWER_S", 0.1)
    held: list[socket.socket] = []

    def start(sockets: Sequence[socket.socket]) -> int:
        held.extend(each.dup() for each in sockets)
        return 1

    monkeypatch.setattr(world.keepers, "_start", start)
    assert world.stream() is None
    assert world.aws.calls == []
    for each in held:
        each.close()


def test_a_keeper_that_dies_with_a_new_session_leaves_it_to_the_connection(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(sockets: Sequence[socket.socket]) -> int:
        lines = Lines(sockets[1].dup())
        lines.send({"state": "start"})

        def die() -> None:
            lines.next(time.monotonic() + 60)
            lines.close()

        killed.append(Background(die))
        return 1

    killed: list[Background[None]] = []
    monkeypatch.setattr(world.keepers, "_start", start)
    assert world.stream() is None
    assert world.aws.calls == ["StartSession", "TerminateSession"]
    assert not list(open_sessions._files())
    for each in killed:
        each.result()


@pytest.mark.parametrize("fails", [True, False])
def test_waiting_connections_learn_the_sessions_outcome_at_once(
    world: KeptWorld, *, fails: bool
) -> None:
    world.shares.opened = False
    first = world.stream()
    assert first is not None
    until_true(lambda: [each.streams for each in world.keepers.states()] == [1])
    waiting = Background(world.stream)
    until_true(lambda: [each.streams for each in world.keepers.states()] == [2])
    first.close()  # from now on, nothing but the session wakes its keeper
    until_true(lambda: [each.streams for each in world.keepers.states()] == [1])
    session = world.shares.sessions[0]
    world.shares.opened = True
    if fails:
        session.fail(SessionEndedError("unreachable", "its agent says nothing"))
    else:
        session.open()
    second = waiting.settled(20)
    assert second is not None
    assert greeted(second).session_id == ("s-2" if fails else "s-1")
    second.close()
