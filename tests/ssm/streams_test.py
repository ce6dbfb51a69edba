"""Many streams in one session, with the lab's agent and real targets behind it."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import gateway
from bench.gateway import Gateway
from sm_proxy.ssm.session import Grant, Options, SessionEndedError
from sm_proxy.ssm.shared import SessionStream, SharedSession, share
from tests.soak import SOAK
from tests.ssm.shared_test import drive
from tests.waits import await_true

TAG = 8


class Target(socketserver.ThreadingTCPServer):
    """Echoes; keeps what each connection sent, by its first eight bytes."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.port = self.server_address[1]
        self.got: dict[bytes, bytearray] = {}
        self.over: set[bytes] = set()


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Target)
        peer: socket.socket = self.request
        tag = peer.recv(TAG, socket.MSG_WAITALL)
        got = self.server.got[tag] = bytearray()
        try:
            while data := peer.recv(1 << 16):
                got += data
                peer.sendall(data)
        except OSError:
            pass
        finally:
            self.server.over.add(tag)


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with Target() as it:
        thread = threading.Thread(target=it.serve_forever)
        thread.start()
        yield it
        it.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def agent(target: Target) -> Iterator[Gateway]:
    with gateway.running(pause_ms=0) as it:
        yield it.to(target.port)


class Connections:
    """One session, and what each of its streams has sent and got."""

    def __init__(self, agent: Gateway, target: Target) -> None:
        grant: Grant = agent.start()
        self.agent = agent
        self.target = target
        self.session: SharedSession = share(agent, Options(), grant)
        self.streams: list[SessionStream] = []
        self.sent: list[bytearray] = []
        self.got: list[bytearray] = []
        self.unread: set[int] = set()
        self.left: set[int] = set()

    def open(self) -> int:
        number = len(self.streams)
        if number == 1:
            self.drive(lambda: self.session.opened)
        stream = self.session.open_stream()
        self.streams.append(stream)
        self.sent.append(bytearray())
        self.got.append(bytearray())
        self.drive(lambda: stream.room)
        stream.write(self.tag(number))
        return number

    def tag(self, number: int) -> bytes:
        return f"{self.session.session_id[-4:]}{number:04}".encode()[-TAG:]

    def write(self, number: int, size: int) -> None:
        stream = self.streams[number]
        data = (f"{number}:{len(self.sent[number])};" * size)[: min(size, stream.room)].encode()
        self.sent[number] += data
        stream.write(data)

    def do(self, action: str, number: int, size: int) -> None:
        if action == "open":
            if len(self.streams) < STREAMS:
                self.open()
        elif action == "cut":
            self.agent.ask(op="cut", session=self.session.session_id)
        elif action == "turn":
            self.session.advance(time.monotonic(), readable=True)
        elif number < len(self.streams) and number not in self.left:
            if action == "write":
                self.write(number, size)
            elif action == "neglect":
                self.unread.add(number)
            else:
                self.left.add(number)
                getattr(self.streams[number], action)()

    def arrived(self, number: int) -> bytes:
        """What the target of a stream has got."""
        return bytes(self.target.got.get(self.tag(number), b""))

    def drive(self, until: Callable[[], object]) -> None:
        def done() -> object:
            for number, stream in enumerate(self.streams):
                if number not in self.unread:
                    self.got[number] += stream.read()
            return until()

        drive(self.session, done)


STREAMS = 4
ACTIONS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, STREAMS - 1), st.integers(1, 60_000)),
    st.tuples(
        st.sampled_from(["open", "open", "finish", "close", "cut", "neglect", "turn"]),
        st.integers(0, STREAMS - 1),
        st.just(0),
    ),
)


@settings(max_examples=500 if SOAK else 30, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=14))
def test_no_stream_loses_or_gets_a_byte_that_is_not_its_own(
    agent: Gateway, target: Target, actions: list[tuple[str, int, int]]
) -> None:
    it = Connections(agent, target)
    it.open()
    for action, number, size in actions:
        it.do(action, number, size)
    kept = set(range(len(it.streams))) - it.left
    it.unread.clear()
    it.drive(lambda: all(it.got[number] == it.sent[number] for number in kept))
    for number, stream in enumerate(it.streams):
        assert stream.failure is None
        assert it.sent[number].startswith(it.arrived(number))
        assert it.sent[number].startswith(it.got[number])
        stream.finish()
    it.drive(lambda: all(stream.finished for stream in it.streams))
    for stream in it.streams:
        stream.close()
    assert it.session._streams == {}
    it.session.finish()
    it.drive(lambda: it.session.finished)
    it.session.close()
    await_true(lambda: agent.ask(op="list") == {"sessions": []}, 60)


@contextmanager
def faults(agent: Gateway, **given: Any) -> Iterator[None]:
    agent.ask(op="faults", faults={"pause_ms": 0, **given})
    try:
        yield
    finally:
        agent.ask(op="faults", faults={"pause_ms": 0})


@pytest.fixture
def it(agent: Gateway, target: Target) -> Iterator[Connections]:
    connections = Connections(agent, target)
    yield connections
    connections.session.close()


def test_a_noisy_network_mixes_no_streams(it: Connections) -> None:
    with faults(it.agent, drop=0.02, ack_loss=0.02, duplicate=0.05, reorder=0.1, seed=7):
        for _ in range(3):
            it.open()
        for _ in range(5):
            for number in range(3):
                it.write(number, 2000)
        it.drive(lambda: it.got == it.sent)
    assert [stream.failure for stream in it.streams] == [None] * 3


def test_bytes_that_a_cut_agent_repeats_reach_only_their_own_stream(it: Connections) -> None:
    """The message whose ack the agent could not send; its other streams go on."""
    for number in range(2):
        it.open()
        it.write(number, 1000)
    it.drive(lambda: it.got == it.sent)
    with faults(it.agent, reset_agent_after_bytes=0):
        it.write(1, 1000)
        it.drive(lambda: len(it.got[1]) > len(it.sent[1]))
    it.write(0, 1000)
    it.drive(lambda: it.got[0] == it.sent[0])
    assert it.arrived(0) == it.sent[0]
    assert it.streams[0].suspicion is None
    assert it.streams[1].suspicion is not None


def test_a_refused_dial_leaves_the_other_streams_alone(target: Target, agent: Gateway) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]

        def listener() -> socket.socket:
            """`other` keeps the port for us while nobody listens there."""
            listening = socket.socket()
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind(("127.0.0.1", port))
            listening.listen()
            return listening

        it = Connections(agent.to(port), target)
        with listener() as listening:
            it.open()
            it.drive(lambda: it.streams[0].delivered)
            peer = listening.accept()[0]
        it.open()
        it.drive(lambda: it.streams[1].failure)
        assert isinstance(it.streams[1].failure, SessionEndedError)
        assert it.streams[1].failure.kind == "refused"
        it.streams[1].close()
        with peer, listener() as listening:
            peer.sendall(b"still here")
            it.drive(lambda: it.got[0] == b"still here")
            it.open()
            it.drive(lambda: it.streams[2].delivered)
            with listening.accept()[0] as second:
                second.sendall(b"here again")
                it.drive(lambda: it.got[2] == b"here again")
        it.session.close()


def test_a_hundred_streams(it: Connections) -> None:
    for number in range(100):
        it.open()
        it.write(number, 300)
    it.drive(lambda: it.got == it.sent)
    for stream in it.streams[1:]:
        stream.finish()
    it.drive(lambda: all(stream.finished for stream in it.streams[1:]))
    it.write(0, 300)
    it.drive(lambda: it.got == it.sent)


def test_a_stream_that_is_not_read_delays_no_other(it: Connections) -> None:
    for _ in range(2):
        it.open()
    it.unread.add(0)
    while it.streams[0].unread < 3 << 20:
        it.write(0, 60_000)
        it.drive(lambda: len(it.arrived(0)) == len(it.sent[0]))
    it.write(1, 1000)
    it.drive(lambda: it.got[1] == it.sent[1])
    it.unread.clear()
    it.drive(lambda: it.got == it.sent)
