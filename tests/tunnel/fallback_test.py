"""Until the first byte, a failure that another route may avoid leads to its stream."""

from __future__ import annotations

import time

import pytest

from sm_proxy.errors import Code, SmProxyError
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

    def __init__(self, *answers: Stream | Exception) -> None:
        self.answers = list(answers)
        self.served = 0
        self.judged: list[Exception] = []

    def connect(self) -> Stream:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def may_be_mended(self, failure: Exception) -> bool:
        self.judged.append(failure)
        return isinstance(failure, SmProxyError) and failure.code == "bastion-offline"

    def on_first_byte(self) -> None:
        self.served += 1

    def around(self, stream: FakeStream) -> FallbackStream:
        return FallbackStream(stream, self.may_be_mended, self.connect, self.on_first_byte)


def settle(stream: FallbackStream) -> None:
    """Drive it until no search runs."""
    until = time.monotonic() + 60
    stream.advance(0, readable=False)
    while stream._search is not None and not stream.ended and time.monotonic() < until:
        time.sleep(0.001)
        stream.advance(0, readable=False)


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
    assert (stream.read(), routes.served) == (b"SSH-2.0-server", 1)
    second.coming = b"more"
    assert (stream.read(), routes.served) == (b"more", 1)
    assert stream.transparent


def test_several_routes_may_fail_before_one_serves() -> None:
    third = FakeStream()
    routes = Routes(failed(), third)
    stream = routes.around(failed())
    settle(stream)
    settle(stream)
    assert stream._stream is third
    assert len(routes.judged) == 2


def test_a_failure_that_no_route_can_mend_ends_the_stream() -> None:
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
