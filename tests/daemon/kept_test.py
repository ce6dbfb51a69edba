"""Connections that share a session: the real daemon side and keepers, with a session in memory."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no daemon", allow_module_level=True)

import resource

from sm_proxy.aws import handed_keys
from sm_proxy.daemon import keeper, kept, kept_stream
from sm_proxy.daemon.kept_stream import KeptStream
from sm_proxy.daemon.lines import Lines
from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log
from sm_proxy.local.threads import Background
from sm_proxy.routes import sessions
from sm_proxy.routes.sessions import Sessions
from sm_proxy.routes.ssm_session import Words
from sm_proxy.settings import Settings
from sm_proxy.ssm import shared
from sm_proxy.ssm.api import SessionEndedError
from sm_proxy.state import open_sessions
from sm_proxy.tunnel.stream import Stream, finish
from tests.daemon.fake_session import GREETING, Shares
from tests.daemon.kept_world import REQUEST, Account, KeptWorld, drive, until_true
from tests.routes.helpers import DENIED


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptWorld]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAONE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-of-one")
    monkeypatch.setattr(sessions, "SESSIONS", Sessions())
    shares = Shares()
    monkeypatch.setattr(shared, "share", shares, raising=False)
    found = KeptWorld(shares)
    monkeypatch.setattr(handed_keys, "take", lambda *_: found.aws)
    yield found
    found.close()


def greeted(stream: Stream | None) -> Stream:
    assert stream is not None
    assert drive(stream, lambda found: len(found) >= len(GREETING)) == GREETING
    return stream


def echoed(stream: Stream, data: bytes) -> bytes:
    stream.write(data)
    return drive(stream, lambda found: len(found) >= len(data))


def starts(world: KeptWorld) -> int:
    return world.aws.calls.count("StartSession")


def test_a_second_connection_uses_the_session_of_the_first(world: KeptWorld) -> None:
    first = greeted(world.stream())
    second = greeted(world.stream())
    assert starts(world) == 1
    assert (first.session_id, second.session_id) == ("s-1", "s-1")
    assert (first.through, second.through) == ("bastion i-1", "bastion i-1")
    assert echoed(first, b"one" * 1000) == b"one" * 1000
    assert echoed(second, b"two") == b"two"
    first.close()
    assert echoed(second, b"three") == b"three"
    second.close()
    third = greeted(world.stream())
    assert starts(world) == 1
    third.close()


def test_a_session_is_recorded_until_it_is_ended(world: KeptWorld) -> None:
    stream = greeted(world.stream(settings=Settings(keep_session=1)))
    assert [path.exists() for path in open_sessions._files()] == [True]
    stream.close()
    until_true(lambda: "TerminateSession" in world.aws.calls or not list(open_sessions._files()))
    until_true(world.shares.sessions[0].closed.is_set)
    assert not list(open_sessions._files())
    assert world.shares.sessions[0].finishing
    until_true(lambda: not len(world.keepers))


def test_a_session_ends_with_the_daemon_unless_somebody_uses_it(world: KeptWorld) -> None:
    used, unused = greeted(world.stream()), greeted(world.stream(request=other()))
    unused.close()
    until_true(lambda: not world.shares.sessions[1].streams)
    world.stop_daemon()
    until_true(world.shares.sessions[1].closed.is_set)
    assert echoed(used, b"still here") == b"still here"
    used.close()
    until_true(world.shares.sessions[0].closed.is_set)


def other(**changes: Any) -> Any:
    return replace(REQUEST, **{"target": "i-2", **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "i-2"},
        {"document": "Another"},
        {"parameters": {"host": ["10.0.1.6"], "portNumber": ["22"]}},
        {"parameters": {"host": ["10.0.1.5"], "portNumber": ["2222"]}},
        {"reason": "another job"},
    ],
)
def test_another_request_gets_another_session(world: KeptWorld, changes: dict[str, Any]) -> None:
    greeted(world.stream()).close()
    greeted(world.stream(request=other(**{"target": "i-1", **changes}))).close()
    assert starts(world) == 2


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "HTTPS_PROXY"])
def test_another_account_gets_another_session(
    world: KeptWorld, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    greeted(world.stream()).close()
    monkeypatch.setattr(os, "environ", {**os.environ, variable: "another"})
    stream = world.stream()
    assert stream is not None
    assert stream.session_id == "s-2"
    stream.close()


def test_beside_bulk_a_connection_gets_a_session_of_its_own(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "QUIET_S", 600)
    bulk = greeted(world.stream())
    data = b"x" * (80 << 10)
    assert echoed(bulk, data) == data
    light = greeted(world.stream())
    assert (light.session_id, starts(world)) == ("s-2", 2)
    # The second session is quiet.
    third = greeted(world.stream())
    assert third.session_id == "s-2"
    for stream in (bulk, light, third):
        stream.close()


def test_an_agent_without_smux_carries_one_connection(world: KeptWorld) -> None:
    world.shares.multiplexed = False
    first = greeted(world.stream())
    second = greeted(world.stream())
    assert (first.session_id, second.session_id) == ("s-1", "s-2")
    first.close()
    until_true(world.shares.sessions[0].closed.is_set)
    assert echoed(second, b"more") == b"more"
    second.close()


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


def test_the_far_ends_end_is_a_clean_one(world: KeptWorld) -> None:
    stream = greeted(world.stream())
    far = world.shares.sessions[0].all_streams[0]
    far.incoming += b"bye"
    far.far_ended = True
    far.suspicion = SessionEndedError("doubled", "perhaps")
    world.shares.sessions[0].poke()
    assert drive(stream, lambda _: False) == b"bye"
    assert stream.failure is None
    assert isinstance(stream.suspicion, SmProxyError)
    stream.close()


def test_finish_waits_for_the_far_end(world: KeptWorld) -> None:
    stream = greeted(world.stream())
    stream.write(b"the end")
    finish(stream)
    assert stream.finished
    assert stream.failure is None
    far = world.shares.sessions[0].all_streams[0]
    assert (bytes(far.written), far.finishing) == (b"the end", True)
    stream.close()


def test_delivered_means_by_the_far_end(world: KeptWorld) -> None:
    stream = greeted(world.stream())
    far = world.shares.sessions[0].all_streams[0]
    far.acknowledges = False
    stream.write(b"data")
    drive(stream, lambda found: found == b"data")
    for _ in range(3):
        assert not stream.delivered
    far.acknowledges = True
    world.shares.sessions[0].poke()
    until_true(lambda: stream.delivered)
    stream.close()


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
        found = world.stream(request=other())
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


def test_a_session_ends_before_its_keys_do(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = datetime.now(timezone.utc) + timedelta(seconds=handed_keys.RENEWED_S + 1)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", ends.isoformat())
    stream = greeted(world.stream(settings=Settings(keep_session=3600)))
    stream.close()
    until_true(world.shares.sessions[0].closed.is_set)
    assert datetime.now(timezone.utc) < ends


def test_a_laptop_that_has_slept_past_the_time_of_a_session_begins_another(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    greeted(world.stream(settings=Settings(keep_session=600))).close()
    until_true(lambda: [each.streams for each in world.keepers.states()] == [0])
    # Only the clock on the wall goes on during a sleep.
    clocks = SimpleNamespace(monotonic=time.monotonic, time=lambda: time.time() + 601)
    monkeypatch.setattr(keeper, "time", clocks)
    second = greeted(world.stream())
    assert second.session_id == "s-2"
    until_true(world.shares.sessions[0].closed.is_set)
    second.close()


def test_a_session_of_keys_that_end_serves_those_who_use_it(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = datetime.now(timezone.utc) + timedelta(seconds=handed_keys.RENEWED_S - 1)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", ends.isoformat())
    first = greeted(world.stream())
    second = greeted(world.stream())
    assert (first.session_id, second.session_id) == ("s-1", "s-2")
    assert echoed(first, b"still here") == b"still here"
    first.close()
    second.close()


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
        world.inbox.sender.tell, Account(DENIED), REQUEST, Words(), Settings(session_ahead=True)
    )
    monkeypatch.setattr(debug_log, "write", lambda *_, **__: asked.set())
    assert ahead.start_ahead() is None
    assert asked.wait(0)
    assert echoed(stream, b"still here") == b"still here"
    stream.close()


def test_each_connection_shows_the_accounts_message(
    world: KeptWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    first = greeted(world.stream())
    options = world.shares.sessions[0].options
    assert options is not None
    options.on_status("be careful")
    second = greeted(world.stream())
    first.close()
    second.close()
    assert capsys.readouterr().err.count("be careful") == 1


def test_connections_whose_program_gets_the_same_keys_share_a_session(
    world: KeptWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    keys = {"Version": 1, "AccessKeyId": "AKIAPROGRAM", "SecretAccessKey": "of-the-program"}
    program, config = tmp_path / "program", tmp_path / "config"
    program.write_text(f"#!/bin/sh\necho '{json.dumps(keys)}'\n")
    program.chmod(0o700)
    config.write_text(f"[default]\ncredential_process = {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    accounts = [Account(), Account(), Account()]
    streams = [greeted(world.stream(aws=account)) for account in accounts[:2]]
    program.write_text(program.read_text().replace("PROGRAM", "ANOTHER"))
    streams.append(greeted(world.stream(aws=accounts[2])))
    assert [len(account.calls) for account in accounts] == [1, 0, 1]
    for stream in streams:
        stream.close()


def test_a_session_is_not_kept_if_the_keys_file_has_changed_since_its_connection_began(
    world: KeptWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    text = "[default]\naws_access_key_id = AKIAONE\naws_secret_access_key = of-one\n"
    file.write_text(text)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    waiting, source = Account(), kept.source(world.inbox.sender.tell)
    assert waiting.keys().access_key == "AKIAONE"
    file.write_text(text.replace("ONE", "TWO"))  # while the job starts
    assert world.stream(aws=waiting, source=source) is None
    greeted(world.stream()).close()
    assert world.stream(aws=waiting, source=source) is None
    assert (waiting.calls, starts(world)) == ([], 1)


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


@pytest.mark.parametrize(
    ("limit", "most"), [(8, 1), (64, 20), (1024, keeper.MOST), (resource.RLIM_INFINITY, 32)]
)
def test_a_session_is_shared_by_as_many_as_there_are_descriptors_for(
    limit: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert keeper.most_connections() == most


def test_a_full_session_takes_no_more_connections(
    world: KeptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "MOST", 2)
    streams = [greeted(world.stream()) for _ in range(3)]
    assert [stream.session_id for stream in streams] == ["s-1", "s-1", "s-2"]
    for stream in streams:
        stream.close()
