"""One connection at its keeper, step by step."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no daemon", allow_module_level=True)

from sm_proxy.daemon import settled
from sm_proxy.daemon.guest import Guest
from sm_proxy.daemon.keeper import Keeper
from sm_proxy.daemon.lines import Lines
from sm_proxy.local import poll
from sm_proxy.state.connection_log import ConnectionRecord
from tests.daemon.fake_session import FakeSession, FakeStream

TOLD = {
    "record": asdict(ConnectionRecord("sm-my-job", kept=True)),
    "began": 7.0,
    "target": "i-1",
    "failures": {},
}


class World:
    """A guest with a stream, and the child's and ssh's ends of its sockets."""

    def __init__(self) -> None:
        (messages, far_messages), (self.data, far_data) = socket.socketpair(), socket.socketpair()
        self.lines = Lines(messages)
        self.guest = Guest(far_messages, far_data)
        self.session = FakeSession()
        self.far: FakeStream = self.session.open_stream()
        self.guest.begin(self.far)  # type: ignore[arg-type]
        self.ssh, self.near = socket.socketpair()

    def step(self) -> None:
        """What a keeper does when the guest's sockets have something."""
        self.hear()
        self.guest.give()

    def hear(self) -> None:
        readers, writers, hangups = self.guest.wanted()
        self.guest.hear(poll.wait(readers, writers, hangups, 0))

    def ask(self) -> None:
        """As a child that wants to leave, and has sent all that has come from ssh."""
        null = os.open(os.devnull, os.O_RDWR)
        self.lines.send(settled.message(TOLD), 0, [self.near.fileno(), null, null])
        os.close(null)
        self.near.close()
        self.data.shutdown(socket.SHUT_WR)
        for _ in range(3):
            self.step()

    def close(self) -> None:
        self.guest.leave()
        if self.guest.settled is not None:
            self.guest.settled.close()
        for each in (self.lines, self.data, self.ssh, self.near, self.session):
            each.close()


@pytest.fixture
def world() -> Iterator[World]:
    found = World()
    yield found
    found.close()


def test_a_child_that_has_just_gone_leaves_its_connection_to_the_keeper(world: World) -> None:
    world.far.acknowledges = False
    world.data.sendall(b"data")
    world.step()
    world.lines.send({"written": 4})
    world.ask()
    assert {"final": True} in world.lines.received()
    world.lines.send({"done": True})
    world.lines.close()
    # Before it reads that, the keeper has an answer for the child.
    world.far.acknowledges = True
    world.far.incoming += b"the rest"
    world.far.far_ended = True
    world.guest.give()
    assert world.guest.settled is not None
    assert world.ssh.recv(100) == b"the rest"
    parting = world.guest.parting
    assert parting is not None
    assert (parting.ending, parting.up) == (None, 4)


def test_a_connection_that_has_gone_before_its_keeper_is_there_ends_it() -> None:
    (messages, far_messages), (data, far_data) = socket.socketpair(), socket.socketpair()
    (daemon, ours), (wakeup, signal) = socket.socketpair(), socket.socketpair()
    for each in (messages, data):
        each.close()
    with ours, wakeup, signal:
        keeper = Keeper(daemon, Guest(far_messages, far_data))
        while not keeper.is_over(0.0):
            signal.send(b".")  # it never waits
            keeper.step(wakeup.fileno())
        keeper.end()
        assert ours.recv(1) == b""


@pytest.mark.parametrize("incoming", [b"", b"more of the far end"])
def test_the_far_end_gets_what_ssh_sent_before_it_went(world: World, incoming: bytes) -> None:
    world.ask()
    world.lines.send({"done": True})
    world.lines.close()
    world.step()
    assert world.guest.settled is not None
    world.far.incoming += incoming
    world.ssh.sendall(b"x" * 100_000 + b"the last words")
    world.ssh.close()
    for _ in range(3):
        world.step()
    assert world.guest.parting is not None
    assert world.far.written.endswith(b"the last words")
    assert world.far.finishing
