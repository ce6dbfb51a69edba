"""Until the first byte, a failure that another route may avoid leads to its stream."""

from __future__ import annotations

import time

import pytest

from sm_proxy.errors import Code, SmProxyError
from sm_proxy.tunnel import fallback
from sm_proxy.tunnel.fallback import FallbackStream
from sm_proxy.tunnel.stream import Stream
from tests.tunnel.fakes import FakeStream
from tests.waits import await_true


def failed(code: Code = "bastion-offline") -> FakeStream:
    stream = FakeStream()
    stream.ended, stream.failure = True, SmProxyError(code, "why")
    return stream


class Routes:
    """The next routes: streams and errors, one after the other; and what was called."""

    def __init__(self, *answers: Stream | Exception | None) -> None:
        self.answers = list(answers)
        self.served: list[Stream] = []
        self.judged: list[Exception] = []
        self.silent: list[Stream] = []

    def connect_next(self) -> Stream:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer

    def connect_elsewhere(self, silent: Stream) -> Stream | None:
        self.silent.append(silent)
        return None if self.answers[0] is None else self.connect_next()

    def may_avoid(self, stream: Stream, failure: Exception) -> bool:
        assert stream.failure is failure
        self.judged.append(failure)
        return isinstance(failure, SmProxyError) and failure.code == "bastion-offline"

    def has_served(self, stream: Stream) -> None:
        self.served.append(stream)

    def around(self, stream: FakeStream) -> FallbackStream:
        return FallbackStream(stream, self)


def settle(stream: FallbackStream, now: float = 0) -> None:
    """Drive it until no search runs."""
    until = time.monotonic() + 60
    stream.advance(now, readable=False)
    while stream._search is not None and not stream.ended and time.monotonic() < until:
        time.sleep(0.001)
        stream.advance(now, readable=False)


def test_the_next_route_gets_the_bytes_of_the_first() -> None:
    first, second, routes = FakeStream(), FakeStream(), Routes()
    routes.answers = [second]
    stream = routes.around(first)
    stream.write(b"SSH-2.0-client")
    first.ended, first.failure = True, SmProxyError("bastion-offline", "why")
    assert not stream.ended
    settle(stream)
    assert (second.sent, stream.ended, stream.failure) == (b"SSH-2.0-client", False, None)
    await_true(lambda: first.closed == 1, 60)  # in a thread
    second.coming = b"SSH-2.0-server"
    assert (stream.read(), routes.served) == (b"SSH-2.0-server", [second])
    second.coming = b"more"
    assert (stream.read(), routes.served) == (b"more", [second])
    assert stream.transparent


def test_several_routes_may_fail_before_one_serves() -> None:
    third = FakeStream()
    routes = Routes(failed(), third)
    stream = routes.around(failed())
    settle(stream)
    settle(stream)
    assert stream._stream is third
    assert len(routes.judged) == 2


def test_a_failure_that_no_route_avoids_ends_the_stream() -> None:
    first = failed("connect-refused")
    stream = Routes().around(first)
    settle(stream)
    assert (stream.ended, stream.failure) == (True, first.failure)


def test_a_clean_end_without_a_byte_is_the_end() -> None:
    first = FakeStream()
    stream = Routes().around(first)
    first.ended = True
    settle(stream)
    assert (stream.ended, stream.failure) == (True, None)


def test_after_the_first_byte_no_route_is_tried() -> None:
    first, routes = FakeStream(), Routes()
    stream = routes.around(first)
    first.coming = b"SSH-2.0-server"
    assert stream.read()
    first.ended, first.failure = True, SmProxyError("bastion-offline", "why")
    settle(stream)
    assert (stream.ended, stream.failure) == (True, first.failure)
    assert routes.judged == []


@pytest.mark.parametrize("error", [SmProxyError("no-bastion", "none"), RuntimeError("a bug")])
def test_the_error_of_the_last_attempt_is_the_failure(error: Exception) -> None:
    stream = Routes(error).around(failed())
    settle(stream)
    assert (stream.ended, stream.failure) == (True, error)


LATE = fallback.PATIENCE_S + 0.1


def test_a_silent_stream_is_replaced_by_one_that_dials_from_elsewhere() -> None:
    first, second = FakeStream(), FakeStream()
    routes = Routes(second)
    stream = routes.around(first)
    stream.write(b"SSH-2.0-client")
    settle(stream)
    assert (stream.deadline(0), routes.silent) == (fallback.PATIENCE_S, [])
    settle(stream, LATE)
    assert (routes.silent, second.sent) == ([first], b"SSH-2.0-client")
    await_true(lambda: first.closed == 1, 60)
    settle(stream, 2 * LATE)
    assert routes.silent == [first]  # once in a connection


def test_a_silent_stream_is_kept_if_no_route_dials_from_elsewhere() -> None:
    first = FakeStream()
    routes = Routes(None)
    stream = routes.around(first)
    settle(stream)
    settle(stream, LATE)
    assert (stream._stream, first.closed, stream.opened) == (first, 0, True)
    first.coming = b"SSH-2.0-server"
    assert (stream.read(), routes.served) == (b"SSH-2.0-server", [first])


def test_a_first_byte_of_the_silent_stream_wins() -> None:
    first, second = FakeStream(), FakeStream()
    routes = Routes(second)
    stream = routes.around(first)
    settle(stream)
    stream.advance(LATE, readable=False)
    assert stream.opened
    first.coming = b"SSH-2.0-server"
    assert (stream.read(), routes.served) == (b"SSH-2.0-server", [first])
    settle(stream, LATE)
    await_true(lambda: second.closed == 1, 60)
    assert first.closed == 0


def test_a_stream_that_is_not_open_yet_is_not_silent() -> None:
    first, routes = FakeStream(), Routes(FakeStream())
    first.opened = False
    stream = routes.around(first)
    settle(stream, LATE)
    settle(stream, 2 * LATE)
    assert routes.silent == []
