"""A cached address may be stale: until the first byte, another one can be dialled."""

from __future__ import annotations

import math
import time

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.tunnel import stale_address
from sm_proxy.tunnel.stale_address import StaleAddressStream
from sm_proxy.tunnel.stream import Stream
from tests.tunnel.fakes import FakeStream
from tests.waits import await_true


class Look:
    """The recheck: counts its calls; returns a stream or None, or raises an error."""

    def __init__(self, answer: Stream | Exception | None = None) -> None:
        self.answer = answer
        self.asked = 0

    def __call__(self) -> Stream | None:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


FORGOTTEN: list[str] = []


def stale_address_stream(stream: FakeStream, look: Look, now: float = 0) -> StaleAddressStream:
    """The stream under test; FORGOTTEN has an item for each time it forgets the cache."""
    FORGOTTEN.clear()
    return StaleAddressStream(stream, look, lambda: FORGOTTEN.append("x"), now)


def step(stream: StaleAddressStream, now: float) -> None:
    """Drive it until a recheck that was started has ended."""
    stream.advance(now, readable=False)
    deadline = time.monotonic() + 60
    while stream._search is not None and time.monotonic() < deadline:
        time.sleep(0.001)
        stream.advance(now, readable=False)


LATE = stale_address.PATIENCE_S + 0.1


def test_a_greeting_in_time_needs_no_recheck() -> None:
    old, look = FakeStream(), Look()
    stream = stale_address_stream(old, look)
    stream.write(b"hello")
    old.coming = b"SSH-2.0"
    step(stream, 0.5)
    assert stream.read() == b"SSH-2.0"
    step(stream, LATE)
    assert (look.asked, old.sent, stream.deadline(LATE)) == (0, b"hello", math.inf)


def test_the_deadline_is_that_of_the_recheck() -> None:
    stream = stale_address_stream(FakeStream(), Look(), 10)
    assert stream.deadline(10) == 10 + stale_address.PATIENCE_S


def test_a_container_that_has_moved_gets_all_bytes_again() -> None:
    old, new = FakeStream(), FakeStream(room=4)
    stream = stale_address_stream(old, Look(new))
    stream.write(b"hello ")
    stream.write(b"again")
    new_room, new.room = new.room, 0
    step(stream, LATE)
    assert (new.sent, stream.room, stream.delivered) == (b"", 0, False)
    new.room = new_room
    step(stream, LATE)
    assert new.sent == b"hello again"
    assert stream.delivered
    await_true(lambda: old.closed == 1, 60)  # in a thread
    new.coming = b"SSH-2.0"
    assert stream.read() == b"SSH-2.0"
    stream.write(b"more")
    assert new.sent == b"hello againmore"


def test_a_container_that_has_not_moved_is_waited_for() -> None:
    old, look = FakeStream(), Look(None)
    stream = stale_address_stream(old, look)
    stream.write(b"hello")
    step(stream, LATE)
    step(stream, LATE + 5)
    assert (look.asked, old.sent, old.closed, stream.ended) == (1, b"hello", 0, False)


def test_an_end_before_the_first_byte_starts_the_recheck_at_once() -> None:
    old, new = FakeStream(), FakeStream()
    old.ended, old.failure = True, SmProxyError("connect-refused", "no")
    stream = stale_address_stream(old, Look(new))
    assert (stream.ended, stream.failure) == (False, None)
    step(stream, 0.1)
    assert (stream.ended, stream.failure) == (False, None)
    assert stream._stream is new


def test_the_streams_failure_counts_if_it_has_not_moved() -> None:
    old = FakeStream()
    old.ended, old.failure = True, SmProxyError("connect-refused", "no")
    stream = stale_address_stream(old, Look(None))
    step(stream, 0.1)
    assert stream.ended
    assert stream.failure is old.failure


def test_an_error_of_the_recheck_is_the_failure() -> None:
    error = SmProxyError("job-ended", "over")
    stream = stale_address_stream(FakeStream(), Look(error))
    stream.advance(LATE, readable=False)
    deadline = time.monotonic() + 60
    while not stream.ended and time.monotonic() < deadline:
        stream.advance(LATE, readable=False)
    assert stream.failure is error


def test_the_kept_bytes_are_bounded() -> None:
    stream = stale_address_stream(FakeStream(room=1 << 20), Look())
    stream.write(b"x" * stream.room)
    assert stream.room == 0


def test_a_first_byte_during_the_recheck_wins_and_the_late_stream_is_closed() -> None:
    old, new = FakeStream(), FakeStream()
    stream = stale_address_stream(old, Look(new))
    stream.advance(LATE, readable=False)
    old.coming = b"SSH-2.0"
    assert stream.read() == b"SSH-2.0"
    step(stream, LATE)
    await_true(lambda: new.closed == 1, 60)
    assert old.closed == 0


def test_finishing_does_not_wait_for_a_recheck() -> None:
    old = FakeStream()
    stream = stale_address_stream(old, Look())
    stream.finish()
    old.ended = True
    assert (old.finish_called, stream.ended) == (1, True)


@pytest.mark.parametrize("checked", [False, True])
def test_closing_closes_every_stream(*, checked: bool) -> None:
    old, new = FakeStream(), FakeStream()
    stream = stale_address_stream(old, Look(new))
    if checked:
        stream.advance(LATE, readable=False)
        assert stream._search is not None
        stream._search.result()
    stream.close()
    assert (old.closed, new.closed) == (1, int(checked))


KEXINIT = b"\0\0\0\x0c\4\x14" + b"k" * 10
NEWKEYS = b"\0\0\0\x0c\x0a\x15" + b"\0" * 10


@pytest.mark.parametrize(("sent", "forgotten"), [(KEXINIT, 1), (KEXINIT + NEWKEYS, 0)])
def test_a_host_key_refused_by_ssh_removes_the_cached_address(sent: bytes, forgotten: int) -> None:
    old = FakeStream()
    stream = stale_address_stream(old, Look())
    old.coming = b"SSH-2.0-server\r\n"
    assert stream.read()
    for byte in b"SSH-2.0-client\r\n" + sent:
        stream.write(bytes([byte]))
    assert stream.transparent == (forgotten == 0)
    stream.close()
    assert len(FORGOTTEN) == forgotten


def test_silence_does_not_remove_the_cached_address() -> None:
    stream = stale_address_stream(FakeStream(), Look())
    stream.write(b"SSH-2.0-client\r\n")
    stream.close()
    assert FORGOTTEN == []


def test_bytes_that_are_not_ssh_do_not_remove_the_cached_address() -> None:
    old = FakeStream(room=1 << 20)
    stream = stale_address_stream(old, Look())
    old.coming = b"x"
    assert stream.read()
    stream.write(b"y" * (1 << 17))
    stream.close()
    assert FORGOTTEN == []
