from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import poll, signals
from sm_proxy.local.stdio import DirectStdio, Stdio, ThreadedStdio
from sm_proxy.tunnel import pump as pump_module
from sm_proxy.tunnel import stream as stream_module
from sm_proxy.tunnel.greeting import Greeting
from sm_proxy.tunnel.leavable import LeavableStream
from sm_proxy.tunnel.pump import Bulk, Pump
from sm_proxy.tunnel.stream import Stream, StreamWrapper

LIMIT = 1 << 16
GREETING = b"SSH-2.0-fake\r\n"


class FakeStream:
    """A stream over a socket; after its end it has no descriptor and a deadline in the past.

    `far` is the container's end.
    """

    def __init__(self) -> None:
        self._near, self.far = socket.socketpair()
        self._near.setblocking(False)
        self._received = bytearray()
        self._outgoing = bytearray()
        self.opened = True
        self.ended = False
        self.failure: Exception | None = None
        self.suspicion: Exception | None = None
        self.failure_at_end: Exception | None = None
        self.finished = False
        self.confirms = True
        self.stalled = False
        self.finish_called = False
        self.patience = math.inf
        self.begun: Callable[[], object] = int
        self.through, self.session_id, self.resumes = "", "", 0
        self.turns = 0

    @property
    def delivered(self) -> bool:
        return not self._outgoing

    @property
    def room(self) -> int:
        return 0 if self.ended or self.stalled else max(0, LIMIT - len(self._outgoing))

    @property
    def wants_read(self) -> bool:
        return len(self._received) < LIMIT

    @property
    def wants_write(self) -> bool:
        return bool(self._outgoing) and not self.ended

    def fileno(self) -> int:
        return -1 if self.ended else self._near.fileno()

    def deadline(self, now: float) -> float:
        return now if self.ended else now + self.patience

    def advance(self, now: float, *, readable: bool) -> None:
        del now
        self.turns += 1
        if self.turns == 1:
            self.begun()
        assert self.turns < 100_000, "a busy loop"
        if readable and not self.ended:
            data = self._near.recv(LIMIT)
            self._received += data
            if not data:
                self.ended = True
                self.failure = self.failure_at_end
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            del self._outgoing[: self._near.send(self._outgoing)]

    def read(self) -> bytes:
        data = bytes(self._received)
        self._received.clear()
        return data

    def write(self, data: bytes) -> None:
        assert len(data) <= self.room
        self._outgoing += data

    def finish(self) -> None:
        self.finish_called = True
        self.finished = self.confirms

    def close(self) -> None:
        self._near.close()
        self.far.close()


def ungreeted(greeting: Greeting) -> SmProxyError:
    return greeting.failure("there")


class Connection:
    """A pump between ssh's pipes and a stream; the test holds all three ends."""

    def __init__(self, make: Callable[[int, int], Stdio]) -> None:
        self.to_us: int | None
        self.from_us: int | None
        stdin, self.to_us = os.pipe()
        self.from_us, stdout = os.pipe()
        self.stdio = make(stdin, stdout)
        self.stream = FakeStream()
        self.far = self.stream.far
        self.threads: list[threading.Thread] = []

    def run(self) -> None:
        Pump(self.stream, self.stdio, ungreeted).run()

    def beside(self, work: Callable[[], object]) -> None:
        """Do `work` while the pump runs."""
        self._start(threading.Thread(target=work))

    def later(self, seconds: float, work: Callable[..., object], *words: Any) -> None:
        """Do `work` after that many seconds, or later."""
        self._start(threading.Timer(seconds, work, words))

    def _start(self, thread: threading.Thread) -> None:
        self.threads.append(thread)
        thread.start()

    def ssh_stops_sending(self) -> None:
        descriptor, self.to_us = self.to_us, None
        if descriptor is not None:
            os.close(descriptor)

    def ssh_leaves(self) -> None:
        self.ssh_stops_sending()
        descriptor, self.from_us = self.from_us, None
        if descriptor is not None:
            os.close(descriptor)

    def ssh_sees(self) -> bytes:
        assert self.from_us is not None
        descriptor, self.from_us = self.from_us, None
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def ssh_sends(self, data: bytes | memoryview) -> int:
        assert self.to_us is not None
        return os.write(self.to_us, data)

    def close(self) -> None:
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        self.ssh_leaves()
        self.stdio.finish()
        self.stream.close()
        if isinstance(self.stdio, ThreadedStdio):
            self.stdio._reader.join(60)
            self.stdio._near.close()
            self.stdio._far.close()


@pytest.fixture(autouse=True)
def let_go(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Shorten the waits, and record when stderr would be closed."""
    monkeypatch.setattr(pump_module, "LINGER_S", 0.15)
    monkeypatch.setattr(stream_module, "FINISH_S", 0.15)
    calls: list[bool] = []
    monkeypatch.setattr(signals, "detach_stderr", lambda: calls.append(True))
    return calls


@pytest.fixture(params=[DirectStdio, ThreadedStdio])
def either(request: pytest.FixtureRequest) -> Iterator[Connection]:
    connection = Connection(request.param)
    yield connection
    connection.close()


@pytest.fixture
def direct() -> Iterator[Connection]:
    connection = Connection(DirectStdio)
    yield connection
    connection.close()


def received(far: socket.socket) -> bytes:
    parts = []
    while data := far.recv(LIMIT):
        parts.append(data)
    return b"".join(parts)


def test_megabytes_pass_both_ways_until_the_container_ends(either: Connection) -> None:
    data = os.urandom(1 << 20) * 3
    answer = GREETING + data[::-1]
    got: list[bytes] = []

    def container() -> None:
        either.far.sendall(answer)
        while sum(map(len, got)) < len(data):
            got.append(either.far.recv(LIMIT))
        either.far.shutdown(socket.SHUT_WR)

    def ssh_writes() -> None:
        view = memoryview(data)
        while view:
            view = view[either.ssh_sends(view) :]

    seen: list[bytes] = []
    either.beside(container)
    either.beside(ssh_writes)
    either.beside(lambda: seen.append(either.ssh_sees()))
    either.run()
    either.close()
    assert b"".join(got) == data
    assert seen == [answer]
    assert either.stream.finish_called


class Counting(StreamWrapper):
    """A wrapper that has nothing left to do after the first answer."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.read_bytes = 0
        self.written_bytes = 0

    @property
    def transparent(self) -> bool:
        return self.read_bytes > 0

    def read(self) -> bytes:
        data = self._stream.read()
        self.read_bytes += len(data)
        return data

    def write(self, data: bytes) -> None:
        self.written_bytes += len(data)
        self._stream.write(data)


def test_a_wrapper_with_nothing_left_to_do_sees_no_more_bytes(direct: Connection) -> None:
    wrapper = Counting(direct.stream)

    def work() -> None:
        direct.far.sendall(GREETING)
        assert os.read(direct.from_us or 0, LIMIT) == GREETING
        os.write(direct.to_us or 0, b"question")
        assert direct.far.recv(LIMIT) == b"question"
        direct.far.sendall(b"answer")
        direct.far.shutdown(socket.SHUT_WR)

    direct.beside(work)
    pump = Pump(wrapper, direct.stdio, ungreeted)
    pump.run()
    assert (pump.up, pump.down) == (len(b"question"), len(GREETING + b"answer"))
    assert (wrapper.written_bytes, wrapper.read_bytes) == (0, len(GREETING))


class Leaving(LeavableStream):
    """It ends once it has been asked to."""

    def __init__(self, stream: FakeStream) -> None:
        super().__init__(stream)
        self.far = stream.far
        self.asked = 0

    def ask(self, _: object) -> bool:
        self.asked += 1
        if self.asked == 2:
            self.far.sendall(b"the rest")
            self.far.shutdown(socket.SHUT_WR)
        return self.asked == 2

    def left(self) -> bool:
        return self.asked == 2


def test_another_process_may_go_on(either: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "STAYS_S", 0.05)
    stream = Leaving(either.stream)
    either.far.sendall(GREETING)
    pump = Pump(stream, either.stdio, ungreeted, stream.ask)
    pump.run()
    assert (pump.left, pump.down) == (True, len(GREETING + b"the rest"))
    assert not either.stream.finish_called
    assert stream.asked == 2


def test_the_end_from_the_container_delivers_the_rest(
    either: Connection, let_go: list[bool]
) -> None:
    either.far.sendall(GREETING + b"bye")
    either.far.shutdown(socket.SHUT_WR)
    either.run()
    assert either.ssh_sees() == GREETING + b"bye"
    assert let_go == []


def test_the_end_from_ssh_still_delivers_the_answer(
    either: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "LINGER_S", 60)

    def container() -> None:
        assert either.far.recv(100) == b"question"
        for part in (b"slow ", b"answer"):
            time.sleep(0.05)
            either.far.sendall(part)
        either.far.shutdown(socket.SHUT_WR)

    either.ssh_sends(b"question")
    either.ssh_stops_sending()
    either.beside(container)
    either.run()
    assert either.ssh_sees() == b"slow answer"
    assert either.stream.finish_called


def test_silence_after_the_end_from_ssh_ends_it(either: Connection) -> None:
    either.far.sendall(GREETING)
    either.ssh_stops_sending()
    began = time.monotonic()
    either.run()
    assert time.monotonic() - began < 8  # it hangs without a bound
    assert either.ssh_sees() == GREETING
    assert either.stream.finish_called


def test_an_answer_that_came_while_the_process_was_stopped_is_delivered(
    direct: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = 0.0

    def wait(readers: list[int], *others: Any) -> poll.Ready:
        nonlocal asleep
        if direct.stdio.stdin not in readers and not asleep:  # ssh has ended: the time runs
            asleep = 60.0
            direct.far.sendall(b"answer")
        return poll.wait(readers, *others)

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + asleep)
    monkeypatch.setattr(pump_module, "time", clock)
    monkeypatch.setattr(pump_module, "poll", SimpleNamespace(wait=wait))
    direct.ssh_stops_sending()
    direct.run()
    assert direct.ssh_sees() == b"answer"


def test_a_suspicion_is_raised_if_the_far_end_left_first(direct: Connection) -> None:
    direct.stream.suspicion = SmProxyError("session-lost", "doubled")
    direct.far.sendall(GREETING)
    direct.far.shutdown(socket.SHUT_WR)
    with pytest.raises(SmProxyError, match="doubled"):
        direct.run()


def test_a_failure_is_raised_after_earlier_bytes_are_delivered(direct: Connection) -> None:
    data = GREETING + os.urandom(300_000)
    direct.stream.failure_at_end = SmProxyError("session-lost", "gone")
    seen: list[bytes] = []

    def slow_ssh() -> None:
        time.sleep(0.1)
        seen.append(direct.ssh_sees())

    def container() -> None:
        direct.far.sendall(data)
        direct.far.shutdown(socket.SHUT_WR)

    direct.beside(container)
    direct.beside(slow_ssh)
    with pytest.raises(SmProxyError, match="gone"):
        direct.run()
    direct.stdio.finish()
    direct.close()
    assert seen == [data]
    assert not direct.stream.finish_called
    assert direct.stream.turns < 100


def test_an_ended_stream_is_not_waited_for_while_ssh_does_not_read(direct: Connection) -> None:
    """After its end, it may have no descriptor and no deadline."""
    direct.far.sendall(GREETING)
    direct.far.shutdown(socket.SHUT_WR)
    full = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            full += os.write(direct.stdio.stdout, b"x" * 4096)

    def slow_ssh() -> None:
        time.sleep(0.2)
        seen.append(direct.ssh_sees())

    seen: list[bytes] = []
    direct.beside(slow_ssh)
    direct.run()
    direct.close()
    assert seen[0][full:] == GREETING
    assert direct.stream.turns < 50


def test_bytes_that_ssh_does_not_read_are_not_buffered_without_limit(direct: Connection) -> None:
    total = 8 << 20
    sent: list[int] = []
    seen: list[bytes] = []

    def container() -> None:
        direct.far.setblocking(True)
        direct.far.sendall(GREETING)
        direct.far.settimeout(0.2)
        left = total
        with contextlib.suppress(TimeoutError):
            while left:
                left -= direct.far.send(b"x" * min(left, LIMIT))
        sent.append(total - left)
        direct.beside(lambda: seen.append(direct.ssh_sees()))
        direct.far.settimeout(60)
        direct.far.sendall(b"x" * left)
        direct.far.shutdown(socket.SHUT_WR)

    direct.beside(container)
    direct.run()
    direct.close()
    assert sent[0] < 2 << 20
    assert [len(data) for data in seen] == [len(GREETING) + total]


def test_bytes_that_the_container_does_not_read_stay_with_ssh(direct: Connection) -> None:
    sent: list[int] = []
    got: list[bytes] = []

    def ssh() -> None:
        assert direct.to_us is not None
        os.set_blocking(direct.to_us, False)
        count = idle = 0
        while idle < 20:
            idle += 1
            with contextlib.suppress(BlockingIOError):
                count += direct.ssh_sends(b"x" * 4096)
                idle = 0
            if idle:
                time.sleep(0.005)
        sent.append(count)
        direct.ssh_stops_sending()
        direct.beside(lambda: got.append(received(direct.far)))

    direct.far.sendall(GREETING)
    direct.beside(ssh)
    direct.run()
    direct.stream._near.shutdown(socket.SHUT_WR)
    direct.close()
    assert 0 < sent[0] < 1 << 20
    assert [len(data) for data in got] == sent


def test_a_silent_tunnel_fails_with_sshd_silent(
    either: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "SILENCE_S", 0.1)
    either.ssh_sends(b"SSH-2.0-OpenSSH_9.2\r\n")
    with pytest.raises(SmProxyError) as caught:
        either.run()
    assert caught.value.code == "sshd-silent"


def test_silence_before_the_tunnel_is_up_is_not_an_error(
    direct: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "SILENCE_S", 0.05)
    direct.stream.opened = False
    direct.later(0.2, direct.far.shutdown, socket.SHUT_WR)
    direct.run()
    assert direct.ssh_sees() == b""


def test_the_status_line_comes_in_silence_and_is_gone_before_the_first_byte(
    direct: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "QUIET_S", 0.05)
    happened: list[object] = []

    def on_silence() -> None:
        happened.append("silence")
        direct.far.sendall(GREETING)
        direct.far.shutdown(socket.SHUT_WR)

    def on_answer() -> None:
        assert direct.from_us is not None
        happened.append(poll.wait([direct.from_us], [], [], 0).readable)

    pump = Pump(direct.stream, direct.stdio, ungreeted, on_answer=on_answer, on_silence=on_silence)
    pump.run()
    assert direct.ssh_sees() == GREETING
    assert happened == ["silence", frozenset()]


def test_one_greeting_is_enough(direct: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "SILENCE_S", 0.1)
    direct.far.sendall(GREETING)
    direct.later(0.3, direct.far.shutdown, socket.SHUT_WR)
    direct.run()
    assert direct.ssh_sees() == GREETING


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "closes the connection without a greeting"),
        (b"Exceeded MaxStartups\r\n", "MaxStartups"),
        (b"Not allowed at this time\r\n", "PerSourcePenalties"),
        (b"SSH-2.0-Op", "closed the connection within its greeting"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "web server"),
        (b"sshd: error while loading shared libraries: libz.so\n", "error while loading"),
        (b"220 mail.example.org ESMTP\r\n", "220 mail.example.org"),
        (b"\x4a\0\0\0\x0a8.0.36\0", "8.0.36"),
    ],
)
def test_an_end_without_a_greeting_raises_the_reason(
    either: Connection, let_go: list[bool], text: bytes, words: str
) -> None:
    either.ssh_sends(GREETING)
    either.far.sendall(text)
    either.far.shutdown(socket.SHUT_WR)
    with pytest.raises(SmProxyError) as caught:
        either.run()
    assert caught.value.code == "sshd-silent"
    assert words in f"{caught.value.message} {caught.value.hint}"
    assert let_go == []


def test_binary_garbage_is_an_error_before_ssh_gets_it(direct: Connection) -> None:
    direct.far.sendall(b"\x15\x03\x01\x00\x02\x02\x46")  # the alert that a TLS server sends to ssh
    with pytest.raises(SmProxyError, match="is not sshd"):
        direct.run()
    direct.stdio.finish()
    assert direct.ssh_sees() == b""


def test_lines_before_the_greeting_are_allowed(
    direct: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "SILENCE_S", 0.3)
    lines = b"Welcome.\r\nAll is logged.\n"
    direct.far.sendall(lines)
    direct.later(0.05, direct.far.sendall, GREETING[:5])
    direct.later(0.1, direct.far.sendall, GREETING[5:])
    direct.later(0.5, direct.far.shutdown, socket.SHUT_WR)
    direct.run()
    assert direct.ssh_sees() == lines + GREETING


def test_endless_lines_without_a_greeting_are_an_error(
    direct: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a tarpit does: a line now and then, which restarts the wait for silence."""
    monkeypatch.setattr(pump_module, "SILENCE_S", 30)
    monkeypatch.setattr(pump_module, "GREETING_S", 0.2)
    direct.far.sendall(b"wait...\r\n")
    with pytest.raises(SmProxyError, match=r"it sends .wait"):
        direct.run()


@pytest.mark.parametrize("leaves", [Connection.ssh_stops_sending, Connection.ssh_leaves])
def test_no_error_if_ssh_leaves_before_the_greeting(
    either: Connection, leaves: Callable[[Connection], None]
) -> None:
    leaves(either)
    either.later(0.05, either.far.shutdown, socket.SHUT_WR)
    either.run()


def test_a_greeting_that_ssh_does_not_read_is_not_silence(
    direct: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "SILENCE_S", 0.05)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(direct.stdio.stdout, b"x" * 4096)
    direct.far.sendall(GREETING)
    direct.later(0.2, direct.ssh_leaves)
    direct.run()


@pytest.mark.parametrize("confirms", [True, False])
def test_ssh_leaving_ends_it_in_time(
    either: Connection, let_go: list[bool], *, confirms: bool
) -> None:
    either.stream.confirms = confirms
    either.far.sendall(GREETING)
    either.later(0.05, either.ssh_leaves)
    began = time.monotonic()
    either.run()
    assert time.monotonic() - began < 8  # it hangs without a bound
    assert either.stream.finish_called
    assert let_go in ([True], [])  # threads cannot tell leaving from half-closing at once


def test_ssh_leaving_is_noticed_while_nothing_is_read_from_it(
    either: Connection, let_go: list[bool]
) -> None:
    either.stream.stalled = True
    if isinstance(either.stdio, ThreadedStdio):
        either.stream.patience = 0.1  # stands for the ticks of poll on Windows
    either.far.sendall(GREETING)
    either.ssh_sends(b"unread")
    either.later(0.05, either.ssh_leaves)
    began = time.monotonic()
    either.run()
    assert time.monotonic() - began < 8  # it hangs without a bound
    assert let_go == [True]


def test_a_half_closed_ssh_and_a_stalled_stream_cause_no_busy_loop(
    direct: Connection,
) -> None:
    direct.stream.stalled = True
    direct.far.sendall(GREETING)
    direct.ssh_stops_sending()
    direct.later(0.2, direct.ssh_leaves)
    direct.run()
    assert direct.stream.turns < 50


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_a_signal_ends_it_without_output(direct: Connection, let_go: list[bool], name: str) -> None:
    direct.far.sendall(GREETING)
    # Not before the pump has taken the signals over.
    direct.stream.begun = lambda: direct.later(0.05, os.kill, os.getpid(), signal.Signals[name])
    direct.run()
    assert let_go == [True]
    assert direct.stream.finish_called


def test_no_error_if_the_container_and_ssh_end_together(direct: Connection) -> None:
    direct.far.sendall(GREETING)
    direct.far.shutdown(socket.SHUT_WR)
    direct.ssh_leaves()
    direct.run()
    assert direct.stream.finish_called


def told(rates: Callable[[int], tuple[int, int]], seconds: int = 120) -> list[tuple[int, float]]:
    """When a long transfer was noticed, in seconds, and its rate; `rates` are bytes a second."""
    bulk, found, up, down = Bulk(), [], 0, 0
    for second in range(seconds):
        if rate := bulk.rate(1000.0 + second, up, down):
            found.append((second, rate))
        more = rates(second)
        up, down = up + more[0], down + more[1]
    return found


@pytest.mark.parametrize("direction", [0, 1])
def test_a_long_transfer_is_noticed_once_with_its_rate(direction: int) -> None:
    def rates(_: int) -> tuple[int, int]:
        return (7_000, 600_000) if direction else (600_000, 7_000)

    assert told(rates) == [(30, 600_000)]


def test_short_transfers_with_pauses_are_no_long_transfer() -> None:
    assert told(lambda second: (0, 600_000 if second % 20 else 0)) == []
    assert told(lambda second: (600_000, 0) if second % 40 < 20 else (0, 600_000)) == []


def test_typing_and_its_output_are_no_long_transfer() -> None:
    assert told(lambda second: (200, 3_000_000 if second % 5 == 0 else 10_000)) == []
    assert told(lambda _: (0, 40_000)) == []


def test_a_long_sleep_between_looks_is_a_pause() -> None:
    bulk = Bulk()
    assert not bulk.rate(1000.0, 0, 0)
    assert not bulk.rate(1060.0, 1_000_000, 0)
    assert not bulk.rate(1061.0, 2_000_000, 0)


def test_a_pump_tells_of_a_long_transfer(
    direct: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "_WINDOW_S", 0.0)
    monkeypatch.setattr(pump_module, "_BULK_BYTES", 0)  # a turn without bytes is no pause
    monkeypatch.setattr(pump_module, "BULK_S", 0.01)
    rates: list[float] = []

    def container() -> None:
        direct.far.sendall(GREETING)
        while not rates:
            direct.far.sendall(bytes(LIMIT))
        direct.far.close()

    direct.beside(container)
    direct.beside(lambda: os.read(direct.from_us or 0, 1) and direct.ssh_sees())
    Pump(direct.stream, direct.stdio, ungreeted, on_bulk=rates.append).run()
    assert len(rates) == 1
