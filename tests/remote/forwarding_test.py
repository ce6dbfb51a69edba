"""Local ports over an SSH connection that is lost and made again."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import poll
from sm_proxy.local.threads import Background
from sm_proxy.remote import forwarding, ports
from sm_proxy.remote.forwarding import Forwarding
from sm_proxy.remote.ports import Forward
from tests.tunnel.forwarding_sshd import ForwardingSshd
from tests.waits import await_true

KEY = paramiko.ECDSAKey.generate()
PORT = 6006


class Client:
    """A connection to a server in this process, which knows why it was lost."""

    def __init__(self) -> None:
        near, far = socket.socketpair()
        self.server = ForwardingSshd(far, key=KEY)
        self.failure: SmProxyError | None = None
        self._transport = paramiko.Transport(near)
        self._transport.start_client(timeout=60)
        self._transport.auth_none("root")

    def get_transport(self) -> Any:
        return self._transport

    def close(self) -> None:
        self._transport.close()
        self.server.transport.close()


class Tunnel:
    """A tunnel in a thread; `outcomes` are the errors of its next attempts to connect."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.outcomes: list[SmProxyError] = []
        self.clients: list[Client] = []
        self.up = threading.Event()
        listener = ports.listen(Forward(0, PORT), print)
        self.address = listener.getsockname()
        made = Forwarding({listener: PORT}, self._connect, self.said.append)
        self._work = Background(lambda: made.run(self.up.set))
        assert self.up.wait(60)

    def _connect(self) -> Client:
        if self.outcomes:
            raise self.outcomes.pop(0)
        self.clients.append(Client())
        return self.clients[-1]

    @property
    def server(self) -> ForwardingSshd:
        return self.clients[-1].server

    def dial(self) -> socket.socket:
        near = socket.create_connection(self.address, 60)
        near.settimeout(60)
        return near

    def cut(self, why: SmProxyError | None = None) -> None:
        self.clients[-1].failure = why
        self.server.transport.close()

    def end(self) -> SmProxyError:
        """Its job has ended."""
        if not self._work.done:
            self.outcomes.append(SmProxyError("job-ended", "training job x is Completed"))
            self.cut()
        await_true(lambda: self._work.done, 60)
        assert isinstance(self._work.error, SmProxyError)
        return self._work.error


@pytest.fixture
def tunnel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tunnel]:
    monkeypatch.setattr(forwarding, "_PAUSES_S", (0.0, 0.01))
    monkeypatch.setattr(forwarding, "_TICK_S", 0.02)
    made = Tunnel()
    yield made
    made.end()
    for client in made.clients:
        client.close()


def received(source: Any, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := source.recv(1 << 15)):
        data += more
    return data


def in_thread(work: Callable[[bytes], Any], data: bytes) -> threading.Thread:
    thread = threading.Thread(target=work, args=(data,))
    thread.start()
    return thread


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_bytes_pass_both_ways_and_each_direction_ends_by_itself(tunnel: Tunnel) -> None:
    data = os.urandom(3_000_000)
    with tunnel.dial() as near:
        far = tunnel.server.channel()
        senders = [in_thread(near.sendall, data), in_thread(far.sendall, data[::-1])]
        assert received(near, len(data)) == data[::-1]
        assert received(far, len(data)) == data
        for sender in senders:
            sender.join(60)
        near.shutdown(socket.SHUT_WR)
        assert far.recv(1) == b""
        far.sendall(b"after its end")
        assert received(near, 13) == b"after its end"
        far.close()
        assert near.recv(1) == b""
    assert tunnel.server.asked == [("localhost", PORT)]


def test_the_container_ends_first(tunnel: Tunnel) -> None:
    with tunnel.dial() as near:
        far = tunnel.server.channel()
        far.shutdown_write()
        assert near.recv(1) == b""
        near.sendall(b"an answer")
        assert received(far, 9) == b"an answer"
        near.close()
        assert far.recv(1) == b""


def test_a_hundred_connections_at_once(tunnel: Tunnel) -> None:
    dialled = [tunnel.dial() for _ in range(100)]
    for number, near in enumerate(dialled):
        near.sendall(b"%02d" % number)
    channels = [tunnel.server.channel() for _ in dialled]
    for far in channels:
        far.sendall(received(far, 2))
        far.close()
    assert [near.recv(3) for near in dialled] == [b"%02d" % number for number in range(100)]
    for near in dialled:
        near.close()


@pytest.mark.parametrize("error", [EOFError, paramiko.SSHException])
def test_a_connection_lost_before_paramiko_knows_is_reset(
    tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """paramiko raises EOFError for a packet to a server that has left, and even in `close`."""

    def lost(_: Any) -> None:
        raise error

    with tunnel.dial() as near:
        far = tunnel.server.channel()  # kept: without a reference, paramiko closes it
        far.sendall(b"x")
        assert near.recv(1) == b"x"  # the channel is open on both sides
        monkeypatch.setattr(tunnel.clients[-1].get_transport(), "_send_user_message", lost)
        near.settimeout(20)
        near.sendall(b"y")
        with pytest.raises(ConnectionResetError):
            near.recv(1)


def test_a_port_without_a_listener_is_reported_once(tunnel: Tunnel) -> None:
    tunnel.server._answer = paramiko.OPEN_FAILED_CONNECT_FAILED
    for _ in range(3):
        with tunnel.dial() as near:
            assert near.recv(1) == b""
    assert tunnel.said == ["nothing listens on port 6006 in the container"]
    tried = [("localhost", PORT), ("127.0.0.1", PORT), ("::1", PORT)]
    assert tunnel.server.asked == 3 * tried


def test_a_port_without_an_answer_is_reported_once(
    tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as while the network is down, which takes two minutes until it is noticed."""
    monkeypatch.setattr(forwarding, "WAIT_S", 0.1)
    monkeypatch.setattr(forwarding, "_OPEN_S", 0.05)
    network = threading.Event()
    monkeypatch.setattr(
        tunnel.server, "check_channel_direct_tcpip_request", lambda *_: network.wait(60)
    )
    for _ in range(2):
        with tunnel.dial() as near:
            assert near.recv(1) == b""
    assert tunnel.said == ["no answer from the container for port 6006"]
    network.set()


def test_a_lost_connection_comes_back_behind_the_same_port(tunnel: Tunnel) -> None:
    with tunnel.dial() as near:
        far = tunnel.server.channel()
        far.sendall(b"half an answer")
        assert received(near, 14) == b"half an answer"
        lost = SmProxyError("session-lost", "the bastion is gone")
        passing = SmProxyError("network", "no route to host", "Check it.")
        tunnel.outcomes += [passing, SmProxyError("network", "no route to host", "Check it.")]
        tunnel.cut(lost)
        with pytest.raises(ConnectionResetError):  # an end would look like a whole answer
            near.recv(1)
    with tunnel.dial() as near:  # it may wait
        near.sendall(b"next")
        await_true(lambda: len(tunnel.clients) == 2, 60)
        assert received(tunnel.server.channel(), 4) == b"next"
    assert tunnel.said == [
        "the connection is lost (the bastion is gone): connecting again",
        "network: no route to host. Check it.; trying again",
        "connected again",
    ]


def test_the_end_of_the_job_ends_it_with_its_reason(tunnel: Tunnel) -> None:
    near = tunnel.dial()
    far = tunnel.server.channel()
    far.sendall(b"x")
    assert near.recv(1) == b"x"  # the channel is open on both sides
    assert tunnel.end().code == "job-ended"
    with near, pytest.raises(ConnectionResetError):
        near.recv(1)
    assert far.closed
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(tunnel.address, 60)


def test_no_thread_waits_for_ports_that_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would wait for ever, or for another file with the same descriptor."""
    wait = poll.wait
    found: list[bool] = []

    def late(readers: list[int], *others: Any) -> Any:
        time.sleep(0.3)  # a busy machine
        found.append(all(map(is_open, readers)))
        return wait(readers, *others) if found[-1] else poll.Ready(frozenset(readers), frozenset())

    monkeypatch.setattr(forwarding, "_TICK_S", 0.02)
    monkeypatch.setattr(poll, "wait", late)
    Tunnel().end()
    await_true(lambda: bool(found), 60)
    assert found == [True]


def test_a_new_connection_waits_for_a_bounded_time(
    tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "WAIT_S", 0.1)
    monkeypatch.setattr(forwarding, "_PAUSES_S", (60.0,))
    pause = threading.Event()
    monkeypatch.setattr("time.sleep", lambda seconds: seconds < 1 or pause.wait(60))
    tunnel.cut()
    await_true(lambda: bool(tunnel.said), 60)
    with tunnel.dial() as near:
        assert near.recv(1) == b""
    pause.set()
    await_true(lambda: "connected again" in tunnel.said, 60)


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(forwarding, "_PULSE_S", 0.0)
    monkeypatch.setattr(forwarding, "_TICK_S", 0.02)
    monkeypatch.setattr(paramiko.Transport, "global_request", lambda *_: answer.wait(60))
    tunnel = Tunnel()
    await_true(lambda: len(tunnel.clients) > 1, 60)
    answer.set()
    assert tunnel.said[0].endswith("(its server does not answer): connecting again")
    assert tunnel.end().code == "job-ended"


def test_a_silent_server_is_given_up_when_ssh_would_do_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ServerAliveInterval (30 s) times ServerAliveCountMax (4), which our Host block sets."""
    seconds, closed = 0.0, threading.Event()

    class Silent:
        is_active = staticmethod(lambda: True)
        global_request = staticmethod(lambda _: closed.wait(60))

        def join(self, tick: float) -> None:
            nonlocal seconds
            seconds += tick

    clients = [SimpleNamespace(failure=None, get_transport=Silent, close=closed.set)]

    def connect() -> Any:
        if not clients:
            raise SmProxyError("job-ended", "training job x is Completed")
        return clients.pop()

    clock = SimpleNamespace(monotonic=lambda: seconds, sleep=lambda _: None)
    monkeypatch.setattr(forwarding, "time", clock)
    with pytest.raises(SmProxyError, match="Completed"):
        Forwarding({}, connect, print).run(lambda: None)
    assert seconds == 120


def test_a_first_connection_that_fails_is_an_error() -> None:
    listener = ports.listen(Forward(0, PORT), print)
    refused = SmProxyError("network", "no route to host")

    def connect() -> Client:
        raise refused

    with pytest.raises(SmProxyError) as caught:
        Forwarding({listener: PORT}, connect, print).run(pytest.fail)
    assert caught.value is refused
    assert listener.fileno() < 0


def test_a_connection_that_left_at_once_does_not_end_the_others() -> None:
    class Gone:  # as on macOS
        closed = False

        def accept(self) -> tuple[Gone, tuple[str, int]]:
            return self, ("127.0.0.1", 1)

        def setblocking(self, _: bool) -> None:
            raise OSError(errno.EINVAL, "Invalid argument")

        def close(self) -> None:
            self.closed = True

    gone: Any = Gone()
    made = Forwarding({gone: PORT}, Client, print)
    with made._wake, made._woken:
        made._begin(gone)
    assert gone.closed
