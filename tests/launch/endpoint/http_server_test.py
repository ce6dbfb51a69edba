from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from sm_proxy.launch.endpoint import http_server
from sm_proxy.launch.endpoint.http_server import LoopbackServer, Request, Response

LONG_S = 30


def echo(request: Request) -> Response:
    return Response(200, (("content-length", str(len(request.body))),), (request.body,))


@contextlib.contextmanager
def serving(
    handle: Callable[[Request], Response], interim_s: float = LONG_S
) -> Iterator[LoopbackServer]:
    with LoopbackServer(handle, interim_s=interim_s) as server:
        yield server


@contextlib.contextmanager
def connected(server: LoopbackServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), LONG_S) as client:
        yield client


def received(client: socket.socket, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end) and (data := client.recv(1 << 16)):
        found += data
    return found


def rest_of(client: socket.socket) -> bytes:
    found = b""
    while data := client.recv(1 << 16):
        found += data
    return found


def test_requests_share_a_connection() -> None:
    with serving(echo) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG_S)
        for body in (b"one", b"two"):
            client.request("POST", "/", body)
            assert client.getresponse().read() == body
            socket_of_first = client.sock
        assert client.sock is socket_of_first
        client.close()


def test_a_chunked_body_is_joined() -> None:
    with serving(echo) as server, connected(server) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2;note=1\r\nde\r\n0\r\n\r\n"
        )
        assert received(client, b"abcde").startswith(b"HTTP/1.1 200")


def test_a_client_that_waits_for_a_go_ahead_gets_it() -> None:
    with serving(echo) as server, connected(server) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert received(client, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        client.sendall(b"abc")
        assert received(client, b"abc").startswith(b"HTTP/1.1 200")


def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * (4 << 10)
    with serving(echo) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG_S)
        client.request("POST", "/", body)
        assert client.getresponse().read() == body
        client.close()


def test_a_body_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "BODY_LIMIT", 3)
    with serving(echo) as server, connected(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd")
        assert rest_of(client).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "sent",
    [
        b"what is this\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["no HTTP", "two lengths", "no host"],
)
def test_a_malformed_request_is_refused(sent: bytes) -> None:
    with serving(echo) as server, connected(server) as client:
        client.sendall(sent)
        assert rest_of(client).startswith(b"HTTP/1.1 400")


def test_the_body_of_a_stranger_is_not_read() -> None:
    came: list[Request] = []

    def handle(request: Request) -> Response:
        came.append(request)
        return echo(request)

    head = b"POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with (
        LoopbackServer(handle, lambda target: target == "/secret") as server,
        connected(server) as client,
    ):
        client.sendall(head % b"other")  # and no body
        assert rest_of(client).startswith(b"HTTP/1.1 404")
    assert came == []


def test_only_a_stranger_must_not_stay_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "STRANGER_S", 0.2)
    request = b"POST /secret HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    server = LoopbackServer(echo, lambda target: target == "/secret")
    with connected(server) as admitted, connected(server) as slow, connected(server) as silent:
        admitted.sendall(request)  # before the server looks: so it is never late
        slow.sendall(request[:20])
        with server:
            assert received(admitted, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
            assert rest_of(silent) == b""
            assert rest_of(slow) == b""
            with connected(server) as another:  # as long as it lasts, the first one is silent
                assert rest_of(another) == b""
            admitted.sendall(request)
            assert received(admitted, b"\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_a_slow_answer_keeps_a_client_with_a_short_timeout_waiting() -> None:
    go = threading.Event()

    def slow(request: Request) -> Response:
        go.wait(LONG_S)
        return echo(request)

    with serving(slow, interim_s=0.01) as server, connected(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
        told = b""
        while told.count(b"HTTP/1.1 100") < 2:
            told += client.recv(1 << 16)
        go.set()
        assert received(client, b"ab").endswith(b"ab")


def test_the_go_aheads_are_few_enough_for_every_client() -> None:
    go = threading.Event()

    def slow(request: Request) -> Response:
        go.wait(0.5)
        return echo(request)

    with serving(slow, interim_s=0.001) as server, connected(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
        assert received(client, b"\r\n\r\nab").count(b"HTTP/1.1 100") <= 4


def test_http_client_of_python_ignores_the_go_aheads() -> None:
    waited = threading.Event()

    def slow(request: Request) -> Response:
        waited.wait(0.1)
        return echo(request)

    with serving(slow, interim_s=0.01) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG_S)
        client.request("POST", "/", b"body")
        assert client.getresponse().read() == b"body"
        client.close()


def test_an_old_client_gets_no_interim_response_and_no_chunks() -> None:
    def slow(_: Request) -> Response:
        threading.Event().wait(0.05)
        return Response(200, (), (b"a", b"b"))

    with serving(slow, interim_s=0.01) as server, connected(server) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        told = rest_of(client)
    assert told.startswith(b"HTTP/1.1 200")
    assert told.endswith(b"\r\n\r\nab")


def test_a_response_without_a_length_is_streamed_in_chunks() -> None:
    first_sent, second = threading.Event(), threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"first"
        first_sent.set()
        second.wait(LONG_S)
        yield b"second"

    with serving(lambda _: Response(200, (), chunks())) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG_S)
        client.request("GET", "/")
        response = client.getresponse()
        assert response.read1() == b"first"
        second.set()
        assert response.read() == b"second"
        client.close()


def test_a_response_that_breaks_off_is_seen_as_broken() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError

    for headers in ((), (("content-length", "8"),)):
        with serving(lambda _, told=headers: Response(200, told, chunks())) as server:  # type: ignore[misc]
            client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG_S)
            client.request("GET", "/")
            with pytest.raises(http.client.IncompleteRead):
                client.getresponse().read()
            client.close()


def test_the_body_of_a_response_is_closed_when_the_client_has_gone() -> None:
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield bytes(1 << 16)

        def close(self) -> None:
            closed.set()

    with serving(lambda _: Response(200, (), Endless())) as server, connected(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(1)
        client.close()
        assert closed.wait(LONG_S)


def test_a_head_request_gets_no_body() -> None:
    with serving(lambda _: Response(200, (("content-length", "5"),), ())) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LONG_S)
        client.request("HEAD", "/")
        assert client.getresponse().getheader("content-length") == "5"
        client.close()


def test_only_this_machine_can_connect() -> None:
    with serving(echo) as server:
        assert server._server.socket.getsockname()[0] == "127.0.0.1"
