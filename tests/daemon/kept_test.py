"""Connections that share a session: the real daemon side and keepers, with a session in memory."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
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
from sm_proxy.daemon import keeper, kept
from sm_proxy.errors import SmProxyError
from sm_proxy.local.threads import Background
from sm_proxy.settings import Settings
from sm_proxy.ssm.api import SessionEndedError
from sm_proxy.state import open_sessions
from sm_proxy.tunnel.stream import finish
from tests.daemon.kept_world import (
    REQUEST,
    Account,
    KeptWorld,
    drive,
    echoed,
    greeted,
    starts,
    until_true,
)


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


def test_an_unused_session_ends_with_the_daemon(world: KeptWorld) -> None:
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


def test_a_session_of_expiring_keys_serves_its_connections(
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


class Program:
    """Where the AWS configuration has keys from; only a call of it tells whose they are."""

    def __init__(self, folder: Path) -> None:
        self._file, self.config = folder / "program", folder / "config"
        self.config.write_text(f"[default]\ncredential_process = {self._file}\n")

    def gives(self, name: str) -> None:
        keys = {"Version": 1, "AccessKeyId": f"AKIA{name}", "SecretAccessKey": "of-the-program"}
        self._file.write_text(f"#!/bin/sh\necho '{json.dumps(keys)}'\n")
        self._file.chmod(0o700)


@pytest.fixture
def program(world: KeptWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    del world  # which sets variables
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    found = Program(tmp_path)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(found.config))
    return found


def test_connections_whose_program_gets_the_same_keys_share_a_session(
    world: KeptWorld, program: Program
) -> None:
    program.gives("ONE")
    accounts = [Account(), Account(), Account()]
    streams = [greeted(world.stream(aws=account)) for account in accounts[:2]]
    program.gives("ANOTHER")
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
    waiting, source = Account(), kept.source(world.inbox.sender.send)
    assert waiting.keys().access_key == "AKIAONE"
    file.write_text(text.replace("ONE", "TWO"))  # while the job starts
    assert world.stream(aws=waiting, source=source) is None
    greeted(world.stream()).close()
    assert world.stream(aws=waiting, source=source) is None
    assert (waiting.calls, starts(world)) == ([], 1)


@pytest.mark.parametrize(
    ("limit", "most"), [(8, 1), (64, 13), (1024, keeper.MOST), (resource.RLIM_INFINITY, 32)]
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


def test_connections_with_other_keys_share_no_session_while_it_is_started(
    world: KeptWorld, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted = threading.Event()
    slow, another = Account(), Account()

    def call(*names: str, **words: Any) -> dict[str, Any]:
        assert granted.wait(60)
        return Account.call(slow, *names, **words)

    monkeypatch.setattr(slow, "call", call)
    program.gives("ONE")
    assert slow.keys().access_key == "AKIAONE"
    first = Background(lambda: world.stream(aws=slow))
    until_true(lambda: len(world.keepers))
    program.gives("ANOTHER")
    second = Background(lambda: world.stream(aws=another))
    until_true(
        lambda: [each.streams for each in world.keepers.states()] == [1, 1] or waiting(world)
    )
    granted.set()
    greeted(second.result()).close()
    greeted(first.result()).close()
    assert another.calls == ["StartSession"]


def waiting(world: KeptWorld) -> bool:
    """Whether the first keeper has taken a second connection."""
    return [each.state.get("taken") for each in world.keepers._keepers.values()] == [1]
