from __future__ import annotations

import json
import tracemalloc

import pytest

from sm_proxy.ssm.channel import LARGE_REFUSED, Channel, State
from sm_proxy.ssm.events import Closed, KeyWanted, Opened, PortRefused
from tests.ssm import agent_wire as wire

WALL_MS = 1_700_000_000_000
MUCH = 10**9


def opened(properties: dict[str, str] | None = None, version: str = "3.3.1230.0") -> Channel:
    channel = Channel(0.0, WALL_MS)
    request = wire.handshake_request(properties=properties, version=version)
    channel.receive(wire.output(0, request, wire.HS_REQUEST), 0.0)
    channel.frames(0.0, MUCH)
    channel.receive(wire.output(1, b"{}", wire.HS_COMPLETE), 0.01)
    channel.receive(wire.ack(0), 0.01)
    channel.frames(0.01, MUCH)
    assert isinstance(channel.events()[0], Opened)
    return channel


def sent(channel: Channel, now: float = 1.0) -> list[wire.Wire]:
    return [wire.unpack(frame) for frame in channel.frames(now, MUCH)]


def acked(messages: list[wire.Wire]) -> list[int]:
    return [
        json.loads(item.payload)["AcknowledgedMessageSequenceNumber"]
        for item in messages
        if item.kind == "acknowledge"
    ]


def test_handshake_complete_may_arrive_before_the_ack_of_our_answer() -> None:
    channel = Channel(0.0, WALL_MS)
    channel.receive(wire.output(0, wire.handshake_request(), wire.HS_REQUEST), 0.0)
    assert [item.payload_type for item in sent(channel, 0.0)] == [0, wire.HS_RESPONSE]
    channel.receive(wire.output(1, b"{}", wire.HS_COMPLETE), 0.01)
    assert channel.state is State.OPEN
    assert not channel.delivered
    channel.receive(wire.ack(0), 0.02)
    assert channel.delivered


def test_the_first_data_waits_a_moment_after_the_handshake() -> None:
    channel = opened()
    channel.write(b"SSH-2.0-client\r\n")
    assert not sent(channel, 0.01)
    assert 0.02 < channel.deadline < 0.05
    assert [item.payload for item in sent(channel, channel.deadline)] == [b"SSH-2.0-client\r\n"]


def test_the_terminate_flag_waits_a_moment_after_the_handshake() -> None:
    channel = opened()
    channel.finish()
    assert not sent(channel, 0.01)
    assert [item.payload for item in sent(channel, channel.deadline)] == [b"\0\0\0\2"]


def test_data_is_sent_at_once_after_the_targets_first_bytes() -> None:
    channel = opened()
    channel.write(b"SSH-2.0-client\r\n")
    channel.receive(wire.output(2, b"SSH-2.0-server\r\n"), 0.012)
    assert [item.payload for item in sent(channel, 0.012)][-1] == b"SSH-2.0-client\r\n"


def test_every_copy_is_acknowledged() -> None:
    channel = opened()
    for sequence in (2, 2, 4, 0, 4):
        channel.receive(wire.output(sequence, b"x"), 0.1)
    assert acked(sent(channel, 0.1)) == [2, 2, 4, 0, 4]
    assert channel.read() == b"x"


def test_a_late_copy_repeats_the_later_acks() -> None:
    channel = opened()
    for sequence in range(2, 7):
        channel.receive(wire.output(sequence, b"x"), 1.0)
    assert acked(sent(channel)) == [2, 3, 4, 5, 6]
    channel.receive(wire.output(3, b"x"), 1.1)
    assert acked(sent(channel, 1.1)) == [3]  # it crossed our ack
    channel.receive(wire.output(3, b"x"), 1.9)
    assert acked(sent(channel, 1.9)) == [3, 4, 5, 6]


def test_a_reconnection_repeats_acks_and_messages() -> None:
    channel = opened()
    channel.receive(wire.output(2, b"x"), 1.0)
    channel.write(b"hello")
    before = sent(channel)
    channel.reconnected(2.0)
    after = sent(channel, 2.0)
    assert acked(after) == [0, 1, 2]
    assert [item for item in after if item.kind == "input_stream_data"] == before[1:]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b"{}",
        b'{"AcknowledgedMessageSequenceNumber":true}',
        b'{"AcknowledgedMessageSequenceNumber":"1"}',
        b'{"AcknowledgedMessageSequenceNumber":1.0}',
        b'{"AcknowledgedMessageSequenceNumber":null}',
        b'{"AcknowledgedMessageSequenceNumber":' + b"9" * 3000 + b"}",
        b'{"AcknowledgedMessageSequenceNumber":-1}',
        b"[" * 4000,
        b"[" * 200_000,
        b'{"AcknowledgedMessageSequenceNumber":1,"x":"' + b"y" * 10_000 + b'"}',
    ],
)
def test_a_hostile_ack_acknowledges_nothing(payload: bytes) -> None:
    channel = opened()
    channel.write(b"data")
    sent(channel)
    channel.receive(wire.pack("acknowledge", payload), 1.1)
    assert not channel.delivered
    channel.receive(wire.ack(1), 1.2)
    assert channel.delivered


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", ""),
        (b"{}", ""),
        (b'{"Output":""}', ""),
        (b'{"Output":null}', ""),
        (b'{"Output":"too long idle"}', "too long idle"),
        (b'{"Output":{"a":1}}', "{'a': 1}"),
        (b"nonsense", "the session was closed with a text that cannot be read"),
        (b"[" * 200_000, "the session was closed with a text that cannot be read"),
    ],
)
def test_channel_closed_with_and_without_text(payload: bytes, reason: str) -> None:
    channel = opened()
    channel.receive(wire.pack("channel_closed", payload, payload_type=261), 1.0)
    assert channel.events() == [Closed(reason)]
    assert channel.confirmed


def test_bytes_before_the_close_can_be_read() -> None:
    channel = opened()
    channel.receive(wire.output(2, b"last words"), 1.0)
    channel.receive(wire.channel_closed(), 1.0)
    assert channel.read() == b"last words"


def test_a_close_with_a_gap_gives_a_reason() -> None:
    channel = opened()
    channel.receive(wire.output(3, b"later"), 1.0)
    channel.receive(wire.channel_closed(), 1.0)
    assert channel.events() == [Closed("the session was closed with a part of the stream missing")]


def test_a_close_before_the_handshake_gives_a_reason() -> None:
    channel = Channel(0.0, WALL_MS)
    channel.receive(wire.channel_closed(), 0.0)
    assert channel.events() == [Closed("the session was closed before its handshake was complete")]


def test_finish_delivers_then_sends_the_terminate_flag_then_ends() -> None:
    channel = opened()
    channel.write(b"bye")
    channel.finish()
    assert channel.room == 0
    assert [item.payload for item in sent(channel)] == [b"bye"]
    channel.receive(wire.ack(1), 1.1)
    flag = sent(channel, 1.1)
    assert [(item.payload_type, item.payload) for item in flag] == [(wire.FLAG, b"\0\0\0\2")]
    assert not channel.confirmed
    channel.receive(wire.ack(2), 1.2)
    assert channel.events() == [Closed("")]
    assert channel.confirmed


def test_an_agent_without_the_terminate_flag_leaves_the_end_unconfirmed() -> None:
    channel = opened(version="2.3.700.0")
    channel.finish()
    assert channel.state is State.CLOSED
    assert not channel.confirmed


def test_a_refused_port_is_an_event() -> None:
    channel = opened({"type": "LocalPortForwarding"})
    channel.receive(wire.output(2, b"\0\0\0\3", wire.FLAG), 1.0)
    assert channel.events() == [PortRefused()]


def test_unknown_message_types_and_random_bytes_change_nothing() -> None:
    channel = opened()
    channel.receive(wire.pack_json("agent_session_state", {"SessionState": "Connected"}), 1.0)
    channel.receive(wire.pack("no_such_type", b"x"), 1.0)
    channel.receive(b"noise", 1.0)
    channel.receive(wire.output(2, b"{}", payload_type=3), 1.0)
    assert channel.malformed == 1
    assert channel.events() == []
    assert acked(sent(channel)) == [2]


def test_repeated_messages_do_not_count_as_progress() -> None:
    channel = opened()
    begun = channel.progress
    for frame in (
        wire.ack(0),
        wire.output(0, b"", wire.HS_REQUEST),
        wire.output(3, b"early"),
        wire.pause(),
        wire.start(),
        b"?",
    ):
        channel.receive(frame, 1.0)
    assert channel.progress == begun
    channel.receive(wire.output(2, b"in order"), 1.0)
    assert channel.progress == begun + 2
    channel.write(b"up")
    sent(channel)
    channel.receive(wire.ack(1), 1.0)
    channel.receive(wire.ack(1), 1.0)
    assert channel.progress == begun + 3


def test_copies_and_further_pauses_do_not_restart_a_pause() -> None:
    channel = opened()
    channel.receive(wire.output(2, b"x"), 1.0)
    channel.receive(wire.pause(), 2.0)
    channel.receive(wire.pause(), 3.0)
    channel.receive(wire.output(2, b"x"), 4.0)
    assert channel.paused_at == 2.0


def test_a_pause_lasts_until_publication_starts() -> None:
    channel = opened()
    channel.receive(wire.pause(), 1.0)
    assert channel.paused_at == 1.0
    channel.receive(wire.output(2, b"x"), 5.0)
    assert channel.paused_at == 5.0, "a new message counts as a sign of the agent"
    channel.receive(wire.start(), 6.0)
    assert channel.paused_at is None


def test_a_pause_with_messages_in_flight_is_a_possible_repeat() -> None:
    channel = opened()
    channel.receive(wire.pause(), 1.0)
    channel.receive(wire.start(), 2.0)
    assert not channel.repeated_at, "no message was in flight"
    channel.write(b"up")
    sent(channel, 3.0)
    channel.receive(wire.pause(), 4.0)
    assert channel.repeated_at == 4.0
    channel.receive(wire.start(), 6.0)
    channel.receive(wire.start(), 7.0)
    channel.receive(wire.ack(1), 8.0)
    assert channel.repeated_at == 6.0
    channel.receive(wire.pause(), 9.0)
    channel.receive(wire.start(), 10.0)
    assert channel.repeated_at == 6.0, "every message had an ack"


def test_a_refused_large_message_ends_the_channel() -> None:
    channel = opened()
    channel.write(bytes(40_000))
    sent(channel)
    channel.reconnected(2.0)
    channel.reconnected(3.0)
    assert channel.events() == [Closed(LARGE_REFUSED)]


def test_an_idle_channel_has_no_deadline() -> None:
    assert opened().deadline == float("inf")


def test_a_keystroke_is_sent_at_once() -> None:
    channel = opened()
    channel.write(b"\n")
    assert [item.payload for item in sent(channel)] == [b"\n"]


def test_a_peer_that_floods_costs_bounded_memory() -> None:
    """64 MiB behind a gap, of which half may be held; then challenges."""
    channel = opened()
    payload = bytes(8192)
    tracemalloc.start()
    base = tracemalloc.get_traced_memory()[0]
    for sequence in range(3, 8000):
        channel.receive(wire.output(sequence, payload), 1.0)
        if sequence % 100 == 0:
            channel.frames(1.0, MUCH)
    channel.receive(wire.output(2, payload), 1.0)
    while channel.read(1 << 20):
        pass
    for sequence in range(7000, 8000):
        channel.receive(wire.output(sequence, b'{"Challenge":"AAAA"}', wire.CHALLENGE), 1.0)
        channel.frames(1.0, MUCH)
    peak = tracemalloc.get_traced_memory()[1] - base
    tracemalloc.stop()
    assert peak < 48 << 20
    assert channel.unread == 0


def shell() -> Channel:
    channel = Channel(0.0, WALL_MS, session_type="Standard_Stream")
    request = wire.handshake_request(session_type="Standard_Stream")
    channel.receive(wire.output(0, request, wire.HS_REQUEST), 0.0)
    channel.frames(0.0, MUCH)
    channel.receive(wire.output(1, b"{}", wire.HS_COMPLETE), 0.01)
    channel.receive(wire.ack(0), 0.01)
    return channel


def test_a_shell_gets_the_terminal_size_before_the_first_bytes() -> None:
    channel = shell()
    channel.write(b"exec sh\n")
    first, second = [item for item in sent(channel) if item.kind == "input_stream_data"]
    assert (first.payload_type, json.loads(first.payload)) == (3, {"cols": 500, "rows": 50})
    assert (second.payload_type, second.payload) == (1, b"exec sh\n")


def test_the_end_of_a_shell_is_not_confirmed_by_a_flag_that_its_agent_ignores() -> None:
    channel = shell()
    sent(channel)
    channel.receive(wire.ack(1), 1.1)
    channel.finish()
    assert channel.state is State.CLOSED
    assert not channel.confirmed


def test_a_shell_opens_with_its_first_output_if_the_agent_leaves_the_handshake_out() -> None:
    channel = Channel(0.0, WALL_MS, session_type="Standard_Stream")
    channel.receive(wire.output(0, b"$ "), 1.0)
    assert channel.events() == [Opened("", multiplexed=False, customer_message="")]
    assert channel.read() == b"$ "
    channel.write(b"exec sh\n")
    inputs = [item for item in sent(channel) if item.kind == "input_stream_data"]
    assert [(item.sequence, item.payload_type) for item in inputs] == [(0, 3), (1, 1)]
    channel.receive(wire.ack(0), 1.1)
    channel.receive(wire.ack(1), 1.1)
    channel.finish()
    assert (channel.state, channel.confirmed) == (State.CLOSED, False)


def test_a_shell_without_a_prompt_opens_and_a_late_handshake_still_encrypts_it() -> None:
    port, late = Channel(0.0, WALL_MS), Channel(0.0, WALL_MS, session_type="Standard_Stream")
    port.open_quiet(5.0)
    assert (port.state, port.events()) == (State.HANDSHAKE, [])
    late.open_quiet(5.0)
    assert late.events() == [Opened("", multiplexed=False, customer_message="")]
    late.write(b"exec sh\n")
    request = wire.handshake_request(session_type="Standard_Stream", KMSKeyId="key")
    late.receive(wire.output(0, request, wire.HS_REQUEST), 6.0)
    assert [type(event) for event in late.events()] == [KeyWanted]
    assert late.room == 0
    late.receive(wire.output(1, b"clear text"), 6.0)
    assert late.state is State.HANDSHAKE
    spoke = Channel(0.0, WALL_MS, session_type="Standard_Stream")
    spoke.open_quiet(5.0)
    spoke.receive(wire.output(0, b"$ "), 6.0)
    spoke.receive(wire.output(1, request, wire.HS_REQUEST), 6.0)
    assert (spoke.state, len(spoke.events())) == (State.OPEN, 1)


def test_output_opens_no_port_and_no_shell_whose_agent_shakes_hands() -> None:
    port = Channel(0.0, WALL_MS)
    port.receive(wire.output(0, b"text"), 1.0)
    asked = Channel(0.0, WALL_MS, session_type="Standard_Stream")
    request = wire.handshake_request(session_type="Standard_Stream", KMSKeyId="key")
    asked.receive(wire.output(0, request, wire.HS_REQUEST), 0.0)
    asked.receive(wire.output(1, b"clear text"), 0.0)
    assert (port.state, asked.state) == (State.HANDSHAKE, State.HANDSHAKE)
