from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from sm_proxy.ssm import shared
from sm_proxy.ssm.session import Options, SessionEndedError
from sm_proxy.ssm.shared import SessionStream, SharedSession, share
from tests.ssm import agent_wire as wire
from tests.ssm.service import FakeApi, expect, service, shake_hands, stay
from tests.ssm.smux_test import push

MUX = {"portNumber": "22", "type": "LocalPortForwarding"}
REFUSED = wire.FLAG, b"\0\0\0\3"


def fin(stream: int) -> bytes:
    return b"\1\1\0\0" + stream.to_bytes(4, "little")


def syn(stream: int) -> bytes:
    return b"\1\0\0\0" + stream.to_bytes(4, "little")


def drive(session: SharedSession, until: Callable[[], object]) -> None:
    """Drive the session as its keeper does, without reading its streams."""
    end = time.monotonic() + 60
    session.advance(time.monotonic(), readable=True)
    while not until():
        now = time.monotonic()
        assert now < end, "took too long"
        readers = [session.fileno()] if session.wants_read else []
        writers = [session.fileno()] if session.wants_write else []
        # `until` may wait for the agent's thread, which wakes nobody up.
        timeout = max(0.0, min(session.deadline(now) - now, 0.05))
        readable = bool(select.select(readers, writers, [], timeout)[0])
        session.advance(time.monotonic(), readable=readable)


class Agent:
    """The agent's side of a session, which a test scripts: acks all, and parses the frames."""

    def __init__(self, connection: ServerConnection, **request: Any) -> None:
        shake_hands(connection, **request)
        self._connection = connection
        self._sequence = 2
        self._expected = 1

    def send(self, data: bytes) -> None:
        self.send_as(wire.OUTPUT, data)

    def send_as(self, payload_type: int, data: bytes) -> None:
        self._connection.send(wire.output(self._sequence, data, payload_type))
        self._sequence += 1

    def frame(self, payload_type: int = wire.OUTPUT) -> bytes:
        """The next message of the client, which is one frame or a flag."""
        message = expect(self._connection, payload_type)
        self._connection.send(wire.ack(message.sequence))
        return message.payload


@contextmanager
def sharing(
    script: Callable[[Agent], object], properties: dict[str, str] = MUX
) -> Iterator[SharedSession]:
    """A session whose agent does what `script` says, then stays."""

    def run(connection: ServerConnection) -> None:
        script(Agent(connection, properties=properties))
        stay(connection)

    with service(run) as port:
        api = FakeApi(f"ws://127.0.0.1:{port}/")
        session = share(api, Options(), api.start())
        try:
            yield session
        finally:
            session.close()


def kind(stream: SessionStream | SharedSession) -> str:
    assert isinstance(stream.failure, SessionEndedError)
    return stream.failure.kind


def test_each_stream_gets_its_own_bytes_and_its_own_end() -> None:
    seen: list[bytes] = []

    def agent(it: Agent) -> None:
        seen.extend(it.frame() for _ in range(4))
        it.send(push(b"three,", 3) + push(b"five,", 5) + push(b"more", 3) + fin(5) + push(b"x", 5))
        seen.append(it.frame())

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: session.opened)
        assert session.multiplexed
        five = session.open_stream()
        assert (three.number, five.number) == (3, 5)
        three.write(b"a")
        drive(session, lambda: three.delivered)
        five.write(b"b")
        drive(session, lambda: five.ended)
        assert (three.read(), five.read()) == (b"three,more", b"five,")
        assert five.failure is None
        assert [five.finished, three.ended] == [False, False]
        five.finish()
        drive(session, lambda: len(seen) == 5)
        assert five.finished
        five.close()
        assert session.streams == [three]
    assert set(seen[:2]) | set(seen[2:4]) == {syn(3), push(b"a", 3), syn(5), push(b"b", 5)}
    assert seen[4] == fin(5)


def test_a_refused_dial_fails_only_the_stream_that_is_silent() -> None:
    def agent(it: Agent) -> None:
        assert it.frame() == syn(3)
        it.send(push(b"SSH-2.0-x\r\n"))
        assert it.frame() == syn(5)
        it.send_as(*REFUSED)
        it.send(fin(5) + push(b"on"))

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: three.unread)
        five = session.open_stream()
        drive(session, lambda: five.failure)
        assert kind(five) == "refused"
        drive(session, lambda: three.unread > 100)
        assert three.read() == b"SSH-2.0-x\r\non"
        assert (three.failure, session.failure) == (None, None)
        five.close()
        assert session.streams == [three]
        assert session.open_stream().number == 7


@pytest.mark.parametrize("refused", [3, 5])
def test_among_silent_streams_the_end_tells_whose_dial_was_refused(refused: int) -> None:
    go = threading.Event()

    def agent(it: Agent) -> None:
        assert {it.frame(), it.frame()} == {syn(3), syn(5)}
        it.send_as(*REFUSED)
        go.wait(60)
        it.send(push(b"hello", 8 - refused) + fin(refused))

    with sharing(agent) as session:
        streams = {3: session.open_stream()}
        drive(session, lambda: session.opened)
        streams[5] = session.open_stream()
        drive(session, lambda: session._refusals)
        assert not any(stream.ended for stream in streams.values())
        go.set()
        drive(session, lambda: streams[refused].ended)
        assert kind(streams[refused]) == "refused"
        assert streams[8 - refused].read() == b"hello"
        assert streams[8 - refused].failure is None


def test_a_text_about_a_dial_explains_the_next_silent_end() -> None:
    def agent(it: Agent) -> None:
        it.frame()
        it.send(push(b"SSH-2.0-x\r\n"))
        it.frame()
        it.send_as(11, b"dial tcp 10.0.0.7:22: i/o timeout")
        it.send(fin(5))

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: three.unread)
        five = session.open_stream()
        drive(session, lambda: five.ended)
        assert kind(five) == "unanswered"
        assert three.failure is None


def test_a_stream_whose_target_says_nothing_and_closes_ends_cleanly() -> None:
    def agent(it: Agent) -> None:
        it.frame()
        it.send(fin(3))

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: three.ended)
        assert three.failure is None


def test_a_closed_stream_is_ended_at_the_agent_and_its_late_bytes_are_dropped() -> None:
    seen: list[bytes] = []

    def agent(it: Agent) -> None:
        seen.extend((it.frame(), it.frame()))
        it.send(push(b"late") + fin(3))
        seen.append(it.frame())
        it.send(push(b"hello", 5))

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: three.opened and three.delivered)
        three.close()
        three.close()
        assert session.streams == []
        five = session.open_stream()
        drive(session, lambda: five.unread)
        assert five.read() == b"hello"
        assert three.read() == b""
        assert list(session._streams) == [5]
    assert seen == [syn(3), fin(3), syn(5)]


def test_bytes_of_a_finished_stream_arrive_before_its_end() -> None:
    seen: list[bytes] = []

    def agent(it: Agent) -> None:
        seen.extend(it.frame() for _ in range(3))
        it.send(fin(3))

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: three.opened)
        three.write(b"last words")
        three.finish()
        assert three.room == 0
        three.close()
        drive(session, lambda: three.finished)
    assert seen == [syn(3), push(b"last words"), fin(3)]


def test_a_stream_closed_before_the_handshake_is_never_asked_for() -> None:
    seen: list[bytes] = []
    with sharing(lambda it: seen.append(it.frame())) as session:
        three = session.open_stream()
        three.close()
        assert three.finished
        drive(session, lambda: session.opened)
        session.open_stream()
        drive(session, lambda: seen)
    assert seen == [syn(5)]


def test_without_smux_a_session_has_one_stream() -> None:
    def agent(it: Agent) -> None:
        it.send(b"SSH-2.0-x\r\n")
        assert it.frame() == b"hello"
        assert it.frame(wire.FLAG) == b"\0\0\0\2"

    with sharing(agent, properties={}) as session:
        stream = session.open_stream()
        with pytest.raises(RuntimeError, match="no further stream"):
            session.open_stream()
        drive(session, lambda: stream.unread)
        assert stream.read() == b"SSH-2.0-x\r\n"
        assert not session.multiplexed
        with pytest.raises(RuntimeError, match="no further stream"):
            session.open_stream()
        stream.write(b"hello")
        stream.finish()
        drive(session, lambda: session.finished)
        assert stream.finished


def test_the_end_of_the_session_is_that_of_every_open_stream() -> None:
    def agent(it: Agent) -> None:
        it.frame()
        it.frame()
        it.send(fin(3) + push(b"hello", 5))
        it._connection.send(wire.channel_closed("idle for too long"))

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: session.opened)
        five = session.open_stream()
        drive(session, lambda: session.ended)
        assert (three.failure, kind(five), kind(session)) == (None, "closed", "closed")
        assert five.read() == b"hello"
        with pytest.raises(RuntimeError, match="no further stream"):
            session.open_stream()


def test_the_session_ends_its_streams_before_itself() -> None:
    seen: list[bytes] = []

    def agent(it: Agent) -> None:
        seen.extend(it.frame() for _ in range(4))
        seen.append(it.frame(wire.FLAG))
        it._connection.send(wire.channel_closed())

    with sharing(agent) as session:
        session.open_stream()
        drive(session, lambda: session.opened)
        session.open_stream()
        session.finish()
        drive(session, lambda: session.finished)
        assert session.failure is None
    assert sorted(seen[:4]) == sorted([syn(3), syn(5), fin(3), fin(5)])
    assert seen[4] == b"\0\0\0\2"


def test_only_a_stream_with_bytes_in_flight_may_have_written_twice() -> None:
    def agent(it: Agent) -> None:
        it.frame()
        it.frame()
        message = expect(it._connection, wire.OUTPUT)
        it._connection.send(wire.pause())
        it._connection.send(wire.start())
        it._connection.send(wire.ack(message.sequence))
        it.send(fin(3) + fin(5))

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: session.opened)
        five = session.open_stream()
        drive(session, lambda: three.delivered and five.delivered)
        five.write(b"once or twice")
        drive(session, lambda: five.ended)
        assert three.suspicion is None
        assert isinstance(five.suspicion, SessionEndedError)


def test_a_stream_that_the_agent_opens_twice_is_ended_there_once() -> None:
    seen: list[bytes] = []

    def agent(it: Agent) -> None:
        seen.extend((it.frame(), it.frame()))
        it.send(fin(3))
        it.send(push(b"a second greeting") + push(b"never asked for", 77))
        it.send(push(b"and more"))
        seen.append(it.frame())
        it.send(fin(3))

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: session.opened and three.delivered)
        three.close()
        drive(session, lambda: len(seen) == 3 and not session._streams)
        assert session.failure is None
    assert seen == [syn(3), fin(3), fin(3)]


def test_frames_of_streams_that_were_never_asked_for_leave_nothing_behind() -> None:
    def agent(it: Agent) -> None:
        it.send(fin(3) + push(b"early"))
        for number in range(20):
            it.send(b"".join(push(b"x", item) + fin(item) for item in range(7 + number, 9999, 21)))
        while it.frame() != syn(5):
            pass
        it.send(push(b"hello", 5))

    with sharing(agent) as session:
        first = session.open_stream()
        first.close()
        drive(session, lambda: session.opened)
        five = session.open_stream()
        drive(session, lambda: five.unread)
        assert five.read() == b"hello"
        assert len(session._incoming.strays) <= 1
        assert session._incoming.streams.keys() == {5}


def test_bytes_that_were_held_back_are_gone_with_their_stream() -> None:
    """Else the session would never wait again."""

    def agent(it: Agent) -> None:
        it.frame()
        message = expect(it._connection, wire.OUTPUT)
        it._connection.send(wire.pause())
        it._connection.send(wire.ack(message.sequence))
        it.send(push(b"MAC error"))

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: session.opened and three.delivered)
        three.write(b"once or twice")
        drive(session, lambda: three.unread)
        assert three.read() == b""
        assert session._incoming.held_until < float("inf")
        three.close()
        assert session._incoming.held_until == float("inf")


def test_an_unread_stream_holds_back_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "UNREAD_LIMIT", 200_000)
    monkeypatch.setattr(shared, "RECEIVED_LIMIT", 50_000)

    def agent(it: Agent) -> None:
        it.frame()
        it.frame()
        for _ in range(15):
            it.send(push(bytes(10_000), 3))
        it.send(push(b"echo", 5))

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: session.opened)
        five = session.open_stream()
        drive(session, lambda: five.unread)
        assert five.read() == b"echo"
        assert three.unread >= 150_000
        assert session.wants_read
        assert len(three.read()) == 150_000


def test_a_stream_that_holds_back_the_others_for_long_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "UNREAD_LIMIT", 100_000)
    monkeypatch.setattr(shared, "STALL_S", 0.1)
    seen: list[bytes] = []

    def agent(it: Agent) -> None:
        seen.extend((it.frame(), it.frame()))
        for _ in range(15):
            it.send(push(bytes(10_000), 3))
        it.send(push(b"echo", 5))
        seen.append(it.frame())

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: session.opened)
        five = session.open_stream()
        most = 0

        def echoed() -> bool:
            nonlocal most
            most = max(most, three.unread)
            return bool(five.unread)

        drive(session, echoed)
        assert kind(three) == "lost"
        assert three.read() == b""
        assert five.failure is None
        drive(session, lambda: len(seen) == 3)
    assert 100_000 <= most <= 300_000
    assert seen[2] == fin(3)


def test_a_stream_alone_may_wait_for_its_reader_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "RECEIVED_LIMIT", 50_000)
    monkeypatch.setattr(shared, "STALL_S", 0.0)

    def agent(it: Agent) -> None:
        it.frame()
        for _ in range(15):
            it.send(push(bytes(10_000), 3))

    with sharing(agent) as session:
        three = session.open_stream()
        drive(session, lambda: not session.wants_read)
        session.advance(time.monotonic(), readable=True)
        session.advance(time.monotonic(), readable=True)
        assert three.failure is None
        received = bytearray()

        def complete() -> bool:
            received.extend(three.read())
            return len(received) == 150_000

        drive(session, complete)
