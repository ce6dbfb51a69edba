from __future__ import annotations

import json
import queue
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from sm_proxy.ssm import engine, liveness, resume, session
from sm_proxy.ssm.gather import LONGEST_S
from sm_proxy.ssm.session import FinalError, Options, Session, SessionEndedError
from sm_proxy.ssm.transport import DisconnectedError
from tests.ssm import agent_wire as wire
from tests.ssm.service import FakeApi, Script, expect, frame, raw_server, service, shake_hands, stay
from tests.waits import await_true

MUX = {"portNumber": "22", "type": "LocalPortForwarding"}


@pytest.fixture(autouse=True)
def generous_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """TerminateSession runs in its own thread, which a busy machine may start late."""
    monkeypatch.setattr("sm_proxy.ssm.api.TERMINATE_DEADLINE_S", 60)


def drive(stream: Session, until: Callable[[], bool], seconds: float = 60) -> bytes:
    """Drive the session as the pump does, without stdin and stdout; return the bytes read."""
    out = b""
    end = time.monotonic() + seconds
    turns = 0
    while True:
        stream.advance(time.monotonic(), readable=True)
        out += stream.read()
        if until():
            return out
        now = time.monotonic()
        assert now < end, "took too long"
        turns += 1
        assert turns < 20_000, "a busy loop"
        readers = [stream.fileno()] if stream.wants_read else []
        writers = [stream.fileno()] if stream.wants_write else []
        timeout = max(0.0, min(stream.deadline(now), end) - now)
        select.select(readers, writers, [], timeout)


def begin(port: int, **options: Any) -> tuple[Session, FakeApi]:
    api = FakeApi(f"ws://127.0.0.1:{port}/v1/data-channel/s-1?role=publish_subscribe")
    return session.start(api, Options(**options), api.start()), api


def test_a_session_without_smux_from_start_to_end() -> None:
    documents: list[dict[str, Any]] = []

    def agent(connection: ServerConnection) -> None:
        documents.append(shake_hands(connection))
        data = expect(connection, wire.OUTPUT)
        connection.send(wire.ack(data.sequence))
        connection.send(wire.output(2, b"pong:" + data.payload))
        flag = expect(connection, wire.FLAG)
        assert flag.payload == b"\0\0\0\2"
        connection.send(wire.ack(flag.sequence))
        stay(connection)

    messages: list[str] = []
    with service(agent) as port:
        stream, api = begin(port, on_status=messages.append)
        drive(stream, lambda: stream.opened)
        stream.write(b"\n")
        assert drive(stream, lambda: stream.delivered) in {b"", b"pong:\n"}
        stream.finish()
        drive(stream, lambda: stream.finished)
        stream.close()
    assert messages == ["welcome"]
    assert api.calls == [], "a confirmed end needs no TerminateSession"
    assert stream.failure is None
    assert documents[0]["TokenValue"] == "token-0"
    assert documents[0]["MessageSchemaVersion"] == "1.0"


def test_a_mux_session_ends_with_fin_then_flag() -> None:
    seen: list[bytes] = []

    def agent(connection: ServerConnection) -> None:
        shake_hands(connection, properties=MUX)
        for sequence in (1, 2):
            seen.append(expect(connection, wire.OUTPUT).payload)
            connection.send(wire.ack(sequence))
        fin = b"\1\1\0\0\3\0\0\0"
        connection.send(wire.output(2, b"\1\2\2\0\3\0\0\0hi" + fin))
        seen.append(expect(connection, wire.OUTPUT).payload)
        connection.send(wire.ack(3))
        seen.append(expect(connection, wire.FLAG).payload)
        connection.send(wire.channel_closed())
        stay(connection)

    with service(agent) as port:
        stream, api = begin(port)
        drive(stream, lambda: stream.delivered and stream.opened)
        stream.write(b"yo")
        assert drive(stream, lambda: stream.ended) == b"hi"
        stream.finish()
        drive(stream, lambda: stream.finished)
        stream.close()
    assert seen == [
        b"\1\0\0\0\3\0\0\0",
        b"\1\2\2\0\3\0\0\0yo",
        b"\1\1\0\0\3\0\0\0",
        b"\0\0\0\2",
    ]
    assert api.calls == []


@pytest.mark.parametrize("properties", [MUX, {}], ids=["mux", "raw"])
@pytest.mark.parametrize("case", ["doubled", "never away", "long ago"])
def test_an_end_soon_after_a_resend_is_suspicious(
    properties: dict[str, str], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "long ago":
        monkeypatch.setattr(engine, "_DOUBLED_WITHIN_S", -1.0)

    def agent(connection: ServerConnection) -> None:
        shake_hands(connection, properties=properties)
        if properties:
            connection.send(wire.ack(expect(connection, wire.OUTPUT).sequence))
        data = expect(connection, wire.OUTPUT)
        if case != "never away":
            connection.send(wire.pause())
            connection.send(wire.start())
        connection.send(wire.ack(data.sequence))
        if properties:
            connection.send(wire.output(2, b"\1\1\0\0\3\0\0\0"))
        else:
            connection.send(wire.channel_closed())
        stay(connection)

    with service(agent) as port:
        stream, _ = begin(port)
        drive(stream, lambda: stream.opened and stream.delivered)
        stream.write(b"SSH-2.0-x and more")
        drive(stream, lambda: stream.ended)
        stream.close()
    assert stream.failure is None
    suspicion = stream.suspicion
    if case == "doubled":
        assert isinstance(suspicion, SessionEndedError)
        assert suspicion.kind == "doubled"
        assert "twice" in suspicion.reason
    else:
        assert suspicion is None


def test_an_hourly_close_is_resumed_with_the_same_client_and_counters() -> None:
    documents: list[dict[str, Any]] = []

    def agent(connection: ServerConnection) -> None:
        if not documents:
            documents.append(shake_hands(connection))
            connection.send(wire.output(2, b"first,"))
            connection.close(1000, "Bye")
            return
        opening = connection.recv()
        assert isinstance(opening, str)
        documents.append(json.loads(opening))
        connection.send(wire.output(3, b"second"))
        message = expect(connection, wire.OUTPUT)
        assert message.sequence == 1
        connection.send(wire.ack(1))
        stay(connection)

    with service(agent) as port:
        stream, api = begin(port)
        out = drive(stream, lambda: len(api.calls) > 0)
        stream.write(b"while away")
        out += drive(stream, lambda: stream.delivered)
        stream.close()
    assert out == b"first,second"
    assert [item["TokenValue"] for item in documents] == ["token-0", "token-1"]
    assert documents[0]["ClientId"] == documents[1]["ClientId"]
    assert api.calls == ["resume s-1", "terminate s-1"]


def failed(stream: Session) -> SessionEndedError:
    drive(stream, lambda: stream.failure is not None)
    assert isinstance(stream.failure, SessionEndedError)
    assert stream.deadline(time.monotonic()) == float("inf")
    stream.close()
    return stream.failure


def after_handshake(*frames: bytes, **request: Any) -> Script:
    def agent(connection: ServerConnection) -> None:
        shake_hands(connection, **request)
        for item in frames:
            connection.send(item)
        stay(connection)

    return agent


def test_a_close_with_text_is_a_failure_after_the_data() -> None:
    frames = (wire.output(2, b"bytes"), wire.channel_closed("idle for too long"))
    with service(after_handshake(*frames)) as port:
        stream, api = begin(port)
        out = drive(stream, lambda: stream.failure is not None)
        stream.close()
    assert out == b"bytes"
    assert str(stream.failure) == "idle for too long"
    assert api.calls == []


def test_a_close_without_text_is_a_clean_end() -> None:
    with service(after_handshake(wire.channel_closed())) as port:
        stream, api = begin(port)
        drive(stream, lambda: stream.ended)
        assert (stream.failure, stream.finished) == (None, True)
        stream.close()
    assert api.calls == []


def test_a_refused_port_is_a_failure() -> None:
    flag = wire.output(2, b"\0\0\0\3", wire.FLAG)
    with service(after_handshake(flag, properties=MUX)) as port:
        stream, api = begin(port)
        assert failed(stream).kind == "refused"
    assert api.calls == ["terminate s-1"]


REFUSED = "Unable to connect to specified port: dial tcp 10.0.0.7:22: connect: connection refused"
STATE = {"SchemaVersion": 1, "SessionState": "Terminating", "SessionId": "s-1"}
CLOSED = wire.channel_closed()
CHANNELS: dict[str, list[bytes]] = {
    "channel_closed": [wire.channel_closed(REFUSED)],
    "an error payload": [wire.output(2, REFUSED.encode(), 2)],
    "a stderr payload, then a clean end": [wire.output(2, REFUSED.encode(), 11), CLOSED],
    "where the target's bytes should be": [wire.output(2, REFUSED.encode() + b"\n"), CLOSED],
    "agent_session_state": [wire.pack_json("agent_session_state", {**STATE, "Output": REFUSED})],
}


@pytest.mark.parametrize("properties", [MUX, None], ids=["mux", "basic"])
@pytest.mark.parametrize("frames", CHANNELS.values(), ids=CHANNELS.keys())
def test_a_refused_dial_is_recognised_in_any_message(
    frames: list[bytes], properties: dict[str, str] | None
) -> None:
    with service(after_handshake(*frames, properties=properties)) as port:
        stream, _ = begin(port)
        failure = failed(stream)
    assert (failure.kind, failure.reason.strip()) == ("refused", REFUSED)


def test_the_text_of_a_refused_dial_in_the_targets_bytes_is_passed_on() -> None:
    greeting = b"SSH-2.0-x\r\n"
    text = REFUSED.encode()
    frames = [wire.output(2, greeting), wire.output(3, text), wire.output(4, text, 11), CLOSED]
    with service(after_handshake(*frames)) as port:
        stream, _ = begin(port)
        assert drive(stream, lambda: stream.ended) + stream.read() == greeting + text
        assert stream.failure is None
        stream.close()


def test_an_agent_that_crashes_while_it_dials_means_refused() -> None:
    """The real agent does this without smux, after 60 s."""
    text = "document process failed unexpectedly: ipc messaging received timeout signal"
    for properties, kind in ((None, "refused"), (MUX, "closed")):
        with service(after_handshake(wire.channel_closed(text), properties=properties)) as port:
            stream, _ = begin(port)
            assert failed(stream).kind == kind


def test_the_agents_last_text_is_the_reason_of_an_end_without_one() -> None:
    with service(after_handshake(wire.output(2, b"out of ideas", 11), CLOSED)) as port:
        stream, _ = begin(port)
        failure = failed(stream)
    assert (failure.kind, failure.reason) == ("closed", "out of ideas")


def test_bytes_that_are_not_smux_are_a_failure() -> None:
    with service(after_handshake(wire.output(2, b"SSH-2.0-x"), properties=MUX)) as port:
        stream, _ = begin(port)
        assert failed(stream).kind == "lost"


def test_a_session_that_is_over_is_not_resumed() -> None:
    def agent(connection: ServerConnection) -> None:
        shake_hands(connection)
        connection.recv()
        connection.socket.shutdown(socket.SHUT_RDWR)

    with service(agent) as port:
        stream, api = begin(port)
        api.over = True
        failure = failed(stream)
    assert failure.kind == "lost"
    assert "session is over" in failure.reason


def test_denied_credentials_end_the_attempts() -> None:
    with service(after_handshake()) as port:
        stream, api = begin(port)
        drive(stream, lambda: stream.opened)
    cause = SessionEndedError("lost", "cannot be resumed: expired")
    api.error = FinalError(cause)
    assert failed(stream) is cause
    assert api.calls.count("resume s-1") == 1


@pytest.mark.parametrize(("acknowledged", "kind"), [(False, "large"), (True, "")])
def test_a_cut_that_is_final_at_the_first_large_message_counts_as_its_refusal(
    *, acknowledged: bool, kind: str
) -> None:
    """Else each connection to a target that takes small ones only would end like this one."""

    def agent(connection: ServerConnection) -> None:
        shake_hands(connection)
        large = expect(connection, wire.OUTPUT)
        assert len(large.payload) > 1024
        if acknowledged:
            connection.send(wire.ack(large.sequence))
            connection.send(wire.output(2, b"taken"))
            connection.recv()
        connection.socket.shutdown(socket.SHUT_RDWR)

    kinds: list[str] = []

    def noted(found: str, reason: str) -> Exception:
        kinds.append(found)
        return SessionEndedError("large", reason)

    with service(agent) as port:
        stream, api = begin(port, failure=noted)
        cause = SessionEndedError("lost", "cannot be resumed")
        api.error = FinalError(cause)
        drive(stream, lambda: stream.opened)
        stream.write(bytes(40_000))
        failed(stream)
    assert kinds == ([kind] if kind else [])
    assert (stream.failure is cause) is acknowledged


def test_attempts_are_bounded_and_wait() -> None:
    with service(after_handshake()) as port:
        stream, api = begin(port)
        drive(stream, lambda: stream.opened)
    began = time.monotonic()
    drive(stream, lambda: stream._link.websocket is None)
    # The service is gone: every connection is refused.
    await_true(lambda: api.calls.count("resume s-1") >= 4, 60)
    assert time.monotonic() - began > 0.6  # each pause is twice the one before
    assert stream.failure is None
    stream.advance(time.monotonic() + resume.RESUME_DEADLINE_S, readable=False)
    assert "could not be resumed" in failed(stream).reason


REQUEST = wire.output(0, wire.handshake_request(), wire.HS_REQUEST)
MIXED: list[bytes | str] = [wire.ack(0), wire.pause(), b"?", "text"]
NOTHING_NEW: dict[str, Callable[[int], list[bytes | str]]] = {
    "nothing": lambda _: [],
    "a copy": lambda _: [wire.output(2, b"first,")],
    "old acks": lambda _: [wire.ack(0), wire.ack(0)],
    "another handshake": lambda turn: [REQUEST, wire.output(2 + turn, b"{}", wire.HS_REQUEST)],
    "a pause": lambda _: [wire.pause()],
    "a flag": lambda turn: [wire.output(2 + turn, b"\0\0\0\7", wire.FLAG)],
    "data behind a gap": lambda turn: [wire.output(50 + turn, b"later")],
    "garbage": lambda _: [b"\0" * 200, "text"],
    "a mixture": lambda turn: [MIXED[turn % 4]],
}


@pytest.mark.parametrize("frames_of_turn", NOTHING_NEW.values(), ids=NOTHING_NEW.keys())
def test_connections_that_bring_nothing_new_are_bounded(
    frames_of_turn: Callable[[int], list[bytes | str]],
) -> None:
    turns = 0

    def agent(connection: ServerConnection) -> None:
        nonlocal turns
        if not turns:
            shake_hands(connection)
            if frames_of_turn is NOTHING_NEW["a copy"]:
                connection.send(wire.output(2, b"first,"))
        else:
            connection.recv()
            for item in frames_of_turn(turns - 1):
                connection.send(item)
        turns += 1

    with service(agent) as port:
        stream, api = begin(port)
        began = time.monotonic()
        lost = stream._link
        drive(stream, lambda: api.calls.count("resume s-1") >= 3 and lost.websocket is None)
        assert time.monotonic() - began > 0.5, "the pauses grow"
        lost._resume_until = 0.0  # the time to resume is over; only something new would renew it
        failure = failed(stream)
    assert failure.kind == "lost"
    assert "resumed connections brought nothing new" in failure.reason


def test_connections_that_each_bring_a_byte_go_on_for_ever() -> None:
    turns = 0

    def agent(connection: ServerConnection) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            shake_hands(connection)
        else:
            connection.recv()
        connection.send(wire.output(1 + turns, bytes([turns])))
        if turns == 30:
            stay(connection)

    with service(agent) as port:
        stream, api = begin(port)
        out = drive(stream, lambda: turns == 30)
        while len(out) < 30:
            out += drive(stream, lambda: True)
        stream.close()
    assert out == bytes(range(1, 31))
    assert api.calls.count("resume s-1") == 29


def test_an_agent_that_never_answers_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "HANDSHAKE_DEADLINE_S", 0.2)
    with service(stay) as port:
        stream, _ = begin(port)
        assert failed(stream).kind == "unreachable"


def test_a_shell_without_a_prompt_opens_and_takes_what_we_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def agent(connection: ServerConnection) -> None:
        connection.recv()
        size, typed = expect(connection, 3), expect(connection, wire.OUTPUT)
        connection.send(wire.output(0, typed.payload.upper()))
        for item in (size, typed):
            connection.send(wire.ack(item.sequence))
        stay(connection)

    monkeypatch.setattr(engine, "QUIET_SHELL_S", 0.1)
    with service(agent) as port:
        stream, _ = begin(port, session_type="Standard_Stream")
        drive(stream, lambda: stream.opened)
        stream.write(b"typed")
        assert drive(stream, lambda: stream.delivered) == b"TYPED"
        assert stream.failure is None
        stream.close()


def test_an_agent_that_stays_away_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PAUSE_DEADLINE_S", 0.2)
    with service(after_handshake(wire.pause())) as port:
        stream, _ = begin(port)
        assert failed(stream).kind == "unreachable"


def test_a_service_that_cannot_be_reached_is_a_failure() -> None:
    with socket.socket() as closed:  # bound but not listening: no other process can take the port
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(SessionEndedError, match="cannot be opened"):
            begin(closed.getsockname()[1])


def test_after_a_sleep_a_dead_connection_is_resumed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    first = True
    hold = threading.Event()

    def agent(connection: ServerConnection) -> None:
        nonlocal first
        if first:
            first = False
            shake_hands(connection)
            connection.socket.settimeout(None)
            connection.recv_bufsize = 0
            hold.wait(60)
        else:
            connection.recv()
            connection.send(wire.output(2, b"awake"))
            stay(connection)

    monkeypatch.setattr(liveness, "AWAKE_DEADLINE_S", 0.1)
    with service(agent) as port:
        stream, api = begin(port)
        drive(stream, lambda: stream.opened)
        wall = time.time() + 3600
        websocket = stream._link.websocket
        assert websocket is not None
        monkeypatch.setattr(websocket, "pongs", 0)
        monkeypatch.setattr(websocket, "ping", lambda: None)  # the ping is lost
        monkeypatch.setattr("sm_proxy.ssm.link.time.time", lambda: wall)
        assert drive(stream, lambda: bool(api.calls)) == b""
        out = b""
        while not out:
            out += drive(stream, lambda: True)
        hold.set()
        stream.close()
    assert out == b"awake"


def test_after_a_sleep_a_pong_keeps_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "AWAKE_DEADLINE_S", 30)  # less than silence may take
    with service(after_handshake()) as port:
        stream, api = begin(port)
        drive(stream, lambda: stream.opened)
        websocket = stream._link.websocket
        assert websocket is not None
        wall = time.time() + 3600
        monkeypatch.setattr("sm_proxy.ssm.link.time.time", lambda: wall)
        drive(stream, lambda: websocket.pongs > 0)
        stream.advance(time.monotonic() + 31, readable=False)
        assert stream._link.websocket is websocket
        assert api.calls == []
        stream.close()


def test_a_failed_write_does_not_hide_why_it_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def agent(connection: ServerConnection) -> None:
        shake_hands(connection)
        go.wait(30)
        connection.send(wire.channel_closed("too long"))
        stay(connection)

    with service(agent) as port:
        stream, api = begin(port)
        drive(stream, lambda: stream.opened)
        websocket = stream._link.websocket
        assert websocket is not None

        def broken() -> None:
            raise DisconnectedError("Broken pipe")

        go.set()
        assert select.select([websocket], [], [], 60)[0]
        monkeypatch.setattr(websocket, "flush", broken)
        stream.advance(time.monotonic(), readable=False)
        assert str(stream.failure) == "too long"
        stream.close()
    assert api.calls == []


@pytest.mark.parametrize("known", [False, True])
def test_a_denied_key_is_the_failure(*, known: bool) -> None:
    def agent(connection: ServerConnection) -> None:
        connection.recv()
        request = wire.handshake_request(KMSKeyId="key-1")
        connection.send(wire.output(0, request, wire.HS_REQUEST))
        assert b'"ActionStatus": 2' in expect(connection, wire.HS_RESPONSE).payload
        connection.send(wire.ack(0))
        connection.send(wire.channel_closed())
        stay(connection)

    with service(agent) as port:
        api = FakeApi(f"ws://127.0.0.1:{port}/")
        cause = SessionEndedError("closed", "denied by policy")
        api.error = FinalError(cause) if known else cause
        stream = session.start(api, Options(), api.start())
        failure = failed(stream)
    assert failure is cause if known else "key-1 cannot be used: denied" in failure.reason


@pytest.mark.parametrize("kind", ["messages", "pings"])
def test_a_flooding_peer_that_never_reads_is_bounded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads no acks and no pongs: we stop reading, and later end the connection."""
    monkeypatch.setattr(liveness, "SILENCE_DEADLINE_S", 1.0)
    hello = frame(wire.output(0, wire.handshake_request(), wire.HS_REQUEST))
    flood = frame(wire.output(0, b"old")) if kind == "messages" else b"\x89\x7d" + bytes(125)
    port, thread = raw_server(hello, flood * 200)
    stream, api = begin(port)
    most = 0
    end = time.monotonic() + 120
    while not api.calls:
        assert time.monotonic() < end
        stream.advance(time.monotonic(), readable=True)
        if (websocket := stream._link.websocket) is not None:
            most = max(most, websocket.unsent_bytes + stream._channel.unsent_acks * 320)
    assert engine.UNSENT_LIMIT < most < 1.5 * engine.UNSENT_LIMIT
    stream.close()
    thread.join()


@pytest.mark.parametrize("cut", [1, 60, 130, 700, 1500])
def test_a_cut_at_any_byte(cut: int) -> None:
    """A connection that breaks in the middle of a frame loses nothing."""
    rounds = 0

    def agent(connection: ServerConnection) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            shake_hands(connection)
            frames = [wire.output(2 + item, bytes([item]) * 600) for item in range(3)]
            packed = b"".join(b"\x82\x7e" + len(x).to_bytes(2, "big") + x for x in frames)
            connection.socket.sendall(packed[:cut])
            connection.socket.shutdown(socket.SHUT_RDWR)
        else:
            connection.recv()
            for item in range(3):
                connection.send(wire.output(2 + item, bytes([item]) * 600))
            stay(connection)

    with service(agent) as port:
        stream, _ = begin(port)
        out = b""
        while len(out) < 1800:
            out += drive(stream, lambda: True)
        stream.close()
    assert out == bytes(600) + b"\1" * 600 + b"\2" * 600


def test_closing_is_bounded_if_the_api_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sm_proxy.ssm.api.TERMINATE_DEADLINE_S", 0.2)
    block = threading.Event()
    with service(after_handshake()) as port:
        stream, api = begin(port)
        monkeypatch.setattr(api, "terminate", lambda _: block.wait(60))
        drive(stream, lambda: stream.opened)
        before = time.monotonic()
        stream.close()
        assert time.monotonic() - before < 30
    block.set()


def test_importing_a_session_is_cheap() -> None:
    code = (
        "import sys, sm_proxy.ssm.session\n"
        "heavy = {'asyncio', 'botocore', 'cryptography', 'concurrent.futures', 'http.client'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert result.stdout.strip() == b"[]"


def test_messages_of_a_bulk_transfer_gather_but_an_echo_is_passed_on_at_once() -> None:
    payloads: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def agent(connection: ServerConnection) -> None:
        shake_hands(connection)
        for number, payload in enumerate(iter(lambda: payloads.get(timeout=60), b""), 2):
            connection.send(wire.output(number, payload))

    with service(agent) as port:
        stream, _ = begin(port)
        drive(stream, lambda: stream.opened)

        def send(payload: bytes) -> None:
            payloads.put(payload)
            assert select.select([stream.fileno()], [], [], 60)[0]

        def until_it_gathers(now: float) -> float:
            while stream.wants_read:
                send(bytes(1024))
                now += 0.001
                stream.advance(now, readable=True)
                assert stream.read() == bytes(1024)
            return now

        now = until_it_gathers(time.monotonic())
        assert now < stream.deadline(now) <= now + LONGEST_S
        send(b"echo")
        stream.advance(now, readable=True)
        assert stream.read() == b"", "it gathers"
        now = stream.deadline(now)
        stream.advance(now, readable=False)
        assert stream.read() == b"echo", "no descriptor has to show that the wait is over"
        assert stream.deadline(now) > now + LONGEST_S, "the next message does not wait"
        send(b"again")
        stream.advance(now, readable=True)
        assert stream.read() == b"again"
        until_it_gathers(now)
        stream.finish()
        assert stream.wants_read, "a session that ends waits for its confirmation only"
        payloads.put(b"")
        stream.close()
