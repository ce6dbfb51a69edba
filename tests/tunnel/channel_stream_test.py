"""A channel of the bastion's sshd as a stream that never blocks."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import poll
from sm_proxy.tunnel.blocking_socket import BlockingSocket
from sm_proxy.tunnel.channel_stream import WINDOW, ChannelStream
from sm_proxy.tunnel.socket_stream import socket_inside
from sm_proxy.tunnel.stream import finish, wanted
from tests.tunnel.forwarding_sshd import Below, ForwardingSshd, paramiko
from tests.waits import await_true

BOUND = 2 * WINDOW
"""More than all buffers of one direction hold."""


@dataclass
class Hop:
    """A stream, and the container's end of its channel."""

    stream: ChannelStream
    far: Any
    below: Below
    sshd: ForwardingSshd
    client: Any

    def drive(self, until: Callable[[bytes], bool], data: bytes = b"", within: float = 60) -> bytes:
        """Write `data` and read, as the pump does, until the bytes read satisfy `until`."""
        got, deadline, stream = b"", time.monotonic() + within, self.stream
        readable = False
        while time.monotonic() < deadline:
            stream.advance(time.monotonic(), readable=readable)
            got += stream.read()
            if until(got) and not data and (stream.delivered or stream.ended):
                return got
            if data and (room := stream.room):
                stream.write(data[:room])
                data = data[room:]
                continue
            if stream.ended:
                return got
            ready = poll.wait(*wanted(stream), [], 0.1)  # `delivered` wakes nobody
            readable = bool(ready.readable)
        raise AssertionError(f"{len(got)} bytes came, {len(data)} were not taken")


@pytest.fixture
def hop() -> Iterator[Hop]:
    near, far = socket.socketpair()
    below = Below(near, "i-1")
    sshd = ForwardingSshd(far)
    tunnel = BlockingSocket(below)
    client = paramiko.Transport(tunnel.socket, default_window_size=WINDOW)
    client.start_client(timeout=60)
    client.auth_none("somebody")
    channel = client.open_channel("direct-tcpip", ("10.0.1.5", 22), ("127.0.0.1", 0), timeout=60)
    made = Hop(ChannelStream(channel, tunnel, below, "there"), sshd.channel(), below, sshd, client)
    yield made
    made.stream.close()
    sshd.transport.close()
    far.close()


def received(channel: Any, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := channel.recv(1 << 16)):
        data += more
    return data


@contextlib.contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Run `work` in a thread while the block runs."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


def test_both_directions_carry_megabytes_at_once(hop: Hop) -> None:
    up, down = os.urandom(3 << 20), os.urandom(3 << 20)
    got: list[bytes] = []
    with (
        beside(lambda: hop.far.sendall(down)),
        beside(lambda: got.append(received(hop.far, len(up)))),
    ):
        assert hop.drive(lambda data: len(data) == len(down), up) == down
    assert got == [up]


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_key_exchange_in_the_middle_changes_nothing(hop: Hop, direction: str) -> None:
    hop.client.packetizer.REKEY_BYTES = hop.sshd.transport.packetizer.REKEY_BYTES = 1 << 18
    before = hop.client.session_id, hop.client.H
    data = os.urandom(1 << 20)
    if direction == "down":
        with beside(lambda: hop.far.sendall(data)):
            assert hop.drive(lambda got: len(got) == len(data)) == data
    else:
        got: list[bytes] = []
        with beside(lambda: got.append(received(hop.far, len(data)))):
            hop.drive(lambda _: True, data)
        assert got == [data]
    assert hop.client.session_id == before[0]
    assert before[1] != hop.client.H


def test_writing_stops_while_the_far_end_does_not_read(hop: Hop) -> None:
    block = os.urandom(1 << 16)
    taken, full_since = 0, time.monotonic()
    while time.monotonic() - full_since < 1:
        hop.stream.advance(time.monotonic(), readable=False)
        if room := hop.stream.room:
            hop.stream.write(block[:room])
            taken += len(block[:room])
            full_since = time.monotonic()
        else:
            time.sleep(0.01)
        assert taken < BOUND
    assert not hop.stream.delivered
    with beside(lambda: received(hop.far, taken)):
        await_true(lambda: driven(hop).delivered, 60)


def driven(hop: Hop) -> ChannelStream:
    hop.stream.advance(time.monotonic(), readable=False)
    return hop.stream


def test_the_far_end_stops_while_the_stream_is_not_read(hop: Hop) -> None:
    data = os.urandom(BOUND)
    hop.far.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < len(data):
            sent += hop.far.send(data[sent : sent + (1 << 15)])
    assert sent < BOUND
    assert hop.drive(lambda got: len(got) == sent) == data[:sent]


def test_an_idle_stream_has_nothing_to_do(hop: Hop) -> None:
    assert hop.stream.deadline(time.monotonic()) > time.monotonic() + 3600
    assert not poll.wait(*wanted(hop.stream), [], 0.2).readable
    assert hop.stream.delivered
    assert not hop.stream.transparent
    assert (hop.stream.through, hop.stream.session_id, hop.stream.resumes) == ("i-1", "s-1", 0)


def test_the_containers_end_is_a_clean_end_after_its_last_bytes(hop: Hop) -> None:
    hop.far.sendall(b"last words")
    hop.far.close()
    assert hop.drive(lambda _: hop.stream.ended) == b"last words"
    assert hop.stream.failure is None
    assert hop.stream.finished


def test_our_end_reaches_the_container_after_all_bytes(hop: Hop) -> None:
    data, got = os.urandom(1 << 18), []
    hop.stream.write(data)

    def serve() -> None:
        got.append(received(hop.far, len(data) + 1))  # until the end of the stream
        hop.far.sendall(b"seen")
        hop.far.close()

    with beside(serve):
        finish(hop.stream)
    assert got == [data]
    assert hop.stream.finished


def test_the_end_of_the_session_is_its_failure(hop: Hop) -> None:
    hop.below.failure, hop.below.cut = SmProxyError("session-lost", "the cable broke"), True
    hop.drive(lambda _: hop.stream.ended)
    assert hop.stream.failure is hop.below.failure


def test_the_end_of_the_bastions_sshd_is_a_failure_even_if_the_session_ends_well(hop: Hop) -> None:
    hop.sshd.transport.close()
    hop.drive(lambda _: hop.stream.ended)
    failure = hop.stream.failure
    assert isinstance(failure, SmProxyError)
    assert (failure.code, "the sshd of i-1 ended" in failure.message) == ("session-lost", True)


def test_closing_in_the_middle_of_a_full_transfer_takes_no_time(hop: Hop) -> None:
    with contextlib.suppress(AssertionError):
        hop.drive(lambda _: False, os.urandom(BOUND), within=0.5)
    closing = time.monotonic()
    hop.stream.close()
    assert time.monotonic() - closing < 30
    assert hop.below.fileno() == -1
    assert not any(thread.is_alive() for thread in hop.stream._threads)


def test_ssh_never_gets_the_socket_of_a_channel(hop: Hop) -> None:
    assert socket_inside(hop.stream) is None
