from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_proxy.ssm import smux
from sm_proxy.ssm.lane import Lane
from sm_proxy.ssm.message import PayloadType
from sm_proxy.ssm.outbox import (
    LARGE_PAYLOAD,
    PROBE_DEADLINE_S,
    QUEUE_BYTES,
    WINDOW_BYTES,
    WINDOW_MESSAGES,
    LargeMessageRefusedError,
    Outbox,
)
from tests.ssm import agent_wire as wire
from tests.ssm.agent_model import Smux

MUCH = 10**9
FAST = 1e9


def outbox(limit: int = 32768, rate: float = FAST) -> Outbox:
    return Outbox(0.0, 1_700_000_000_000, limit, rate)


def sizes(frames: list[bytes]) -> list[int]:
    return [len(wire.unpack(frame).payload) for frame in frames]


def grown() -> Outbox:
    """An outbox whose large message was acknowledged."""
    box = outbox()
    box.put(bytes(40_000))
    box.frames(0.0, MUCH)
    box.acknowledge(0, 0.01)
    for sequence, _ in enumerate(box.frames(0.01, MUCH), 1):
        box.acknowledge(sequence, 0.02)
    assert box.empty
    return box


def test_the_first_large_message_is_sent_alone() -> None:
    box = outbox()
    box.put(bytes(100_000))
    assert sizes(box.frames(0.0, MUCH)) == [32768]
    box.acknowledge(0, 0.01)
    assert sizes(box.frames(0.01, MUCH)) == [32768, 32768, 100_000 - 3 * 32768]


def test_little_data_is_sent_at_once() -> None:
    box = outbox()
    box.put(bytes(2000))
    assert sizes(box.frames(0.0, MUCH)) == [1024, 976]


def test_a_large_message_without_an_ack_is_an_error() -> None:
    box = outbox()
    box.put(bytes(40_000))
    box.frames(0.0, MUCH)
    now = 0.0
    while now < PROBE_DEADLINE_S:
        assert all(size == 32768 for size in sizes(box.frames(now, MUCH)))
        assert box.deadline > now
        now = box.deadline
    with pytest.raises(LargeMessageRefusedError):
        box.frames(now, MUCH)


def test_a_large_messages_time_starts_after_the_older_ones() -> None:
    box = outbox()
    box.put(bytes(1000))
    box.frames(0.0, MUCH)
    box.put(bytes(40_000))
    box.frames(0.0, MUCH)
    box.acknowledge(0, PROBE_DEADLINE_S - 1)
    box.frames(2 * PROBE_DEADLINE_S - 1.1, MUCH)
    with pytest.raises(LargeMessageRefusedError):
        box.frames(2 * PROBE_DEADLINE_S - 1, MUCH)


def test_a_large_message_that_is_cut_off_twice_is_an_error() -> None:
    box = outbox()
    box.put(bytes(40_000))
    first = box.frames(0.0, MUCH)
    box.reconnected(1.0)
    assert box.frames(1.0, MUCH) == first, "a sent message keeps its bytes"
    with pytest.raises(LargeMessageRefusedError):
        box.reconnected(2.0)


def test_the_safe_limit_prevents_large_messages() -> None:
    box = outbox(limit=1024)
    box.put(bytes(100_000))
    assert max(sizes(box.frames(0.0, MUCH))) == 1024


@pytest.mark.parametrize("size", [1, 1024, 32768])
def test_unacknowledged_messages_are_bounded(size: int) -> None:
    box = grown()
    total = count = 0
    for _ in range(6000):
        box.put(bytes(min(size, box.room)))
        for frame in box.frames(0.02, MUCH):
            total += len(frame)
            count += 1
    assert count <= WINDOW_MESSAGES
    assert total <= WINDOW_BYTES + 32768 + 120 * count
    assert box.room <= QUEUE_BYTES


def test_pause_leaves_one_message_a_second() -> None:
    box = grown()
    box.put(bytes(5000))
    box.pause()
    now, count = 0.02, 0
    while now < 20:
        count += len(box.frames(now, MUCH))
        assert box.deadline > now
        now = box.deadline
    assert 2 <= count <= 20
    box.unpause(now)
    assert sum(sizes(box.frames(now, MUCH))) >= 5000 - 1024


def test_after_a_reconnection_the_end_of_the_pause_resends_everything() -> None:
    box = outbox(limit=1024)
    box.put(bytes(3 * 1024))
    first = box.frames(0.0, MUCH)
    box.reconnected(0.01)
    box.pause()
    assert box.frames(0.01, MUCH) == first[:1]
    box.unpause(0.02)
    assert box.frames(0.02, MUCH) == first[1:]


def test_an_ack_ends_a_pause() -> None:
    box = grown()
    box.pause()
    box.put(b"ab")
    box.acknowledge(999, 1.0)
    assert sizes(box.frames(1.0, MUCH)) == [2]


def test_bulk_data_is_paced() -> None:
    box = outbox(limit=1024, rate=800)
    now = 0.0
    count = 0
    while now < 2.0:
        box.put(bytes(box.room))
        for _ in box.frames(now, MUCH):
            box.acknowledge(count, now)
            count += 1
        now = max(box.deadline, now + 1e-9)
    assert 160 + 1590 <= count <= 160 + 1610


def test_controls_are_not_paced_and_come_first() -> None:
    box = outbox(rate=0.001)
    box.put(b"data")
    box.put_control(PayloadType.FLAG, b"\0\0\0\2")
    kinds = [wire.unpack(frame).payload_type for frame in box.frames(0.0, MUCH)]
    assert kinds == [10, 1]


def test_encrypted_payloads_stay_within_the_limit() -> None:
    box = outbox(limit=1024)
    box.encrypt_with(lambda data: bytes(28) + data, 28)
    box.put(bytes(3000))
    assert sizes(box.frames(0.0, MUCH)) == [1024, 1024, 1024, 3000 - 3 * 996 + 28]


@given(sizes=st.lists(st.integers(1, 50_000), min_size=1, max_size=8))
def test_each_message_holds_one_whole_frame(sizes: list[int]) -> None:
    box = outbox()
    box.put_whole(smux.open_stream())
    box.frame_with(smux.data_frame, smux.HEADER_BYTES)
    sent: list[wire.Wire] = []

    def send() -> None:
        for frame in box.frames(0.0, MUCH):
            sent.append(wire.unpack(frame))
            box.acknowledge(sent[-1].sequence, 0.0)

    for size in sizes:
        box.put(bytes(min(size, box.room)))
        send()
    box.put_whole(smux.close_stream())
    while not box.empty:
        send()
    server, data = Smux(), 0
    for message in sent:
        assert len(message.payload) <= LARGE_PAYLOAD
        data += len(server.feed(message.payload))
        assert not server.buffer
    assert data == sum(sizes)
    assert server.fin_seen


def test_a_whole_message_keeps_its_place() -> None:
    box = outbox()
    box.put(bytes(1500))
    box.put_whole(b"whole")
    box.put(bytes(500))
    assert sizes(box.frames(0.0, MUCH)) == [1024, 476, 5, 500]


def test_the_budget_bounds_one_call() -> None:
    box = grown()
    box.put(bytes(200_000))
    assert len(box.frames(1.0, 65536)) == 2
    assert box.deadline <= 1.0


def stream_of(message: wire.Wire) -> int:
    return message.payload[4]


def test_streams_take_turns_message_by_message() -> None:
    box = outbox()
    box.frame_with(smux.data_frame, smux.HEADER_BYTES)
    light = Lane(partial(smux.data_frame, stream=5))
    box.put(bytes(8000))
    box.frames(0.0, 1)
    box.put(b"key", light)
    box.put_whole(smux.close_stream(5), light)
    sent = [wire.unpack(frame) for frame in box.frames(0.0, MUCH)]
    assert [stream_of(message) for message in sent[:5]] == [3, 5, 3, 5, 3]
    assert smux.data_frame(b"key", 5) == sent[1].payload


def test_each_stream_knows_whether_it_is_delivered() -> None:
    box = outbox()
    lane = Lane()
    box.put(b"first")
    box.frames(0.0, MUCH)
    box.put(b"second", lane)
    assert lane.waiting
    box.frames(0.0, MUCH)
    box.note_possible_repeat(1.0)
    box.acknowledge(0, 2.0)
    assert (box.first.delivered, lane.delivered, box.empty) == (True, False, False)
    box.note_possible_repeat(3.0)
    box.acknowledge(1, 4.0)
    assert (lane.delivered, box.empty) == (True, True)
    assert (box.first.repeated_at, lane.repeated_at) == (1.0, 3.0)


def test_unsent_bytes_of_a_dropped_stream_are_never_sent() -> None:
    box = outbox()
    lane = Lane()
    box.put(bytes(3000), lane)
    box.frames(0.0, 1)
    box.put(b"other")
    box.drop(lane)
    assert sizes(box.frames(0.0, MUCH)) == [5]
    assert not lane.delivered, "one message is in flight"


@given(
    puts=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5000), st.booleans()), max_size=20),
    budget=st.integers(1, 100_000),
)
def test_every_stream_is_sent_whole_and_in_order(
    puts: list[tuple[int, int, bool]], budget: int
) -> None:
    box = outbox()
    lanes = [box.first, Lane(), Lane(), Lane()]
    for number, lane in enumerate(lanes):
        lane.frame = partial(smux.data_frame, stream=number)
    written = [bytearray() for _ in lanes]
    got = [bytearray() for _ in lanes]

    def send(size: int) -> None:
        for frame in box.frames(0.0, size):
            message = wire.unpack(frame)
            got[stream_of(message)] += message.payload[8:]
            box.acknowledge(message.sequence, 0.0)

    for number, size, now in puts:
        data = bytes([len(written[number]) % 251]) * size
        written[number] += data
        box.put(data, lanes[number])
        if now:
            send(budget)
    while not box.empty:
        send(budget)
    assert got == written
