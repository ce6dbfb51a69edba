"""Connections that are left to their keeper, with a session in memory."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no daemon", allow_module_level=True)

from sm_proxy.daemon import partings, settled
from sm_proxy.daemon.kept_stream import KeptStream
from sm_proxy.daemon.partings import Parting, Transfer
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from sm_proxy.ssm.api import SessionEndedError
from sm_proxy.state.connection_log import ConnectionRecord
from sm_proxy.tunnel import pump
from tests.daemon.fake_session import FakeStream
from tests.daemon.kept_world import KeptWorld, drive, greeted, until_true

TOLD = {"record": asdict(ConnectionRecord("sm-my-job", kept=True)), "began": 7.0, "hints": True}
DATA = bytes(range(256)) * 2000


class Settling:
    """A connection that can be left: its stream, ssh's end of its socket, and what is told."""

    def __init__(self, world: KeptWorld, told: list[Parting]) -> None:
        stream = greeted(world.stream())
        assert isinstance(stream, KeptStream)
        self.stream = stream
        self.told = told
        self.transfers: list[Transfer] = []
        self.far: FakeStream = world.shares.sessions[-1].streams[-1]
        self.ssh, self._near = socket.socketpair()
        self.ssh.settimeout(60)
        self.opener, self._opener = os.pipe()
        self.stderr, self._stderr = os.pipe()

    def ask(self, *, descriptors: int = 3) -> bool:
        """Ask the keeper to go on, then close what the child would have."""
        own = [self._near.fileno(), self._stderr, self.opener]
        asked = self.stream.leave(own[:descriptors], TOLD)
        self._near.close()
        os.close(self._stderr)
        os.close(self.opener)
        return asked

    def settle(self) -> bytes:
        """Leave the connection to the keeper; the bytes that came meanwhile."""
        assert self.ask()
        came = drive(self.stream, lambda _: False)
        assert self.stream.failure is None
        assert self.stream.left()
        self.stream.close()
        return came

    def opener_ends(self) -> None:
        os.close(self._opener)
        self._opener = -1

    def stderr_is_closed(self) -> bool:
        return os.read(self.stderr, 1) == b""

    def close(self) -> None:
        self.stream.close()
        self.ssh.close()
        os.close(self.stderr)
        if self._opener >= 0:
            os.close(self._opener)


@pytest.fixture
def connection(world: KeptWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settling]:
    told: list[Parting] = []

    def fork(parting: Parting | Transfer) -> int:
        if isinstance(parting, Transfer):
            found.transfers.append(parting)
        else:
            told.append(parting)
        return 1 << 30  # the process has ended

    monkeypatch.setattr(partings, "fork", fork)
    monkeypatch.setattr(partings, "PATIENCE_S", 0.0)  # the keepers here have other threads
    found = Settling(world, told)
    yield found
    found.close()


def received(ssh: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (data := ssh.recv(1 << 16)):
        found += data
    return found


def test_ssh_gets_each_byte_once_and_the_end_is_reported(connection: Settling) -> None:
    connection.stream.write(DATA[: connection.stream.room])
    sent = connection.stream._written
    came = connection.settle()
    came += received(connection.ssh, sent - len(came))
    assert came == DATA[:sent]
    connection.ssh.sendall(b"from ssh")
    assert received(connection.ssh, 8) == b"from ssh"
    connection.ssh.sendall(b"the last words")
    connection.ssh.close()
    until_true(lambda: connection.told)
    (parting,) = connection.told
    assert (parting.ending, parting.settled.record.host) == (None, "sm-my-job")
    assert (parting.up, connection.far.finishing) == (sent + 8 + 14, True)
    assert connection.far.written.endswith(b"from sshthe last words")


def test_the_keeper_holds_stderr_for_as_long_as_the_first_ssh_lives(connection: Settling) -> None:
    connection.settle()
    connection.opener_ends()  # as ssh -f: another process goes on
    assert connection.stderr_is_closed()
    connection.ssh.sendall(b"still here")
    assert received(connection.ssh, 10) == b"still here"


def test_a_lost_session_is_reported_on_stderr(world: KeptWorld, connection: Settling) -> None:
    connection.settle()
    world.shares.sessions[0].fail(SessionEndedError("lost", "the laptop slept"))
    until_true(lambda: connection.told)
    assert connection.ssh.recv(1) == b""
    (parting,) = connection.told
    failure = parting.settled.failure(parting.ending)
    assert failure is not None
    assert (failure.code, failure.message) == ("session-lost", "the laptop slept")


def test_an_ended_keeper_tells_it(world: KeptWorld, connection: Settling) -> None:
    connection.settle()
    until_true(world.keepers.connections)
    (shown,) = world.keepers.connections()
    assert (shown.host, shown.since) == ("sm-my-job", 7.0)
    world.signal()
    until_true(lambda: connection.told)
    assert connection.told[0].ending is not None


def test_a_child_that_dies_half_way_ends_the_connection(connection: Settling) -> None:
    assert connection.ask()
    drive(connection.stream, lambda _: False)
    connection.stream.close()
    assert connection.ssh.recv(1) == b""
    assert connection.far.finishing
    assert not connection.told


def test_a_keeper_without_descriptors_leaves_it_to_the_child(connection: Settling) -> None:
    assert connection.ask(descriptors=2)
    until_true(lambda: drive(connection.stream, lambda _: True) or not waits(connection.stream))
    connection.stream.write(b"as before")
    assert drive(connection.stream, lambda found: len(found) >= 9) == b"as before"
    assert not connection.stream.left()


def waits(stream: KeptStream) -> bool:
    stream.advance(0.0, readable=False)
    return bool(stream._agrees_until)


def test_an_ended_keeper_is_no_answer(world: KeptWorld, connection: Settling) -> None:
    assert connection.ask()
    world.signal()
    assert connection.ssh.recv(1) == b""  # it has ended, before or after it agreed
    drive(connection.stream, lambda _: False)
    assert not connection.stream.left()
    assert connection.stream.failure is not None
    assert not connection.told


def test_no_key_goes_to_the_keeper_with_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-of-one")
    monkeypatch.setenv("MY_TOKEN", "the-secret-of-two")
    monkeypatch.setenv("SM_PROXY_STATE_DIR", "/where")
    told = settled.message({})["settle"]
    assert told["environment"]["SM_PROXY_STATE_DIR"] == "/where"
    assert "the-secret" not in json.dumps(told)


def test_a_connection_that_holds_the_next_session_stays(world: KeptWorld) -> None:
    stream = world.stream(settings=Settings(session_ahead=True))
    assert stream is not None
    inner = getattr(stream, "_stream", None)
    assert isinstance(inner, KeptStream)
    assert not inner.leave([0, 1, 2], TOLD)
    stream.close()


def test_a_keeper_that_ends_half_way_says_why(world: KeptWorld, connection: Settling) -> None:
    assert connection.ask()
    drive(connection.stream, lambda _: False)
    world.signal()
    until_true(world.shares.sessions[0].closed.is_set)
    assert not connection.stream.left()
    failure = connection.stream.failure
    assert isinstance(failure, SmProxyError)
    assert failure.message == "the process that holds the session was ended"
    assert not connection.told


def test_a_long_transfer_is_reported_while_it_continues(
    connection: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "_WINDOW_S", 0.0)
    monkeypatch.setattr(pump, "_BULK_BYTES", 0)  # a turn without bytes is no pause
    monkeypatch.setattr(pump, "BULK_S", 0.01)
    connection.settle()

    def is_told() -> bool:
        connection.ssh.sendall(bytes(5_000))
        return bool(connection.transfers)

    until_true(is_told)
    (transfer,) = connection.transfers
    assert not connection.told
    assert transfer.rate > 0
    assert transfer.settled.record.host == "sm-my-job"
    connection.ssh.close()
    until_true(lambda: connection.told)
