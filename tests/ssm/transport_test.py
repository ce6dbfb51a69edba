from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection

from sm_proxy.ssm import transport
from sm_proxy.ssm.transport import DisconnectedError, WebSocket
from tests.ssm.service import ConnectProxy, certificate, raw_server, service, stay


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def collect(websocket: WebSocket, count: int, seconds: float = 60) -> list[bytes]:
    messages: list[bytes] = []
    until = time.monotonic() + seconds
    while len(messages) < count:
        assert time.monotonic() < until
        websocket.flush()
        if not websocket.readable_now:
            select.select([websocket], [], [], 0.2)
        messages += websocket.receive()
    return messages


def round_trip(url: str, ca: str | None = None) -> None:
    websocket = transport.connect(url, ca)
    try:
        websocket.send_frames([b"one", bytes(100_000)])
        assert collect(websocket, 2) == [b"one", bytes(100_000)]
    finally:
        websocket.close()


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, str]]:
    context, ca = certificate(tmp_path)
    with service(echo, context) as port:
        yield f"wss://127.0.0.1:{port}/v1/data-channel/s?role=x&cell=1", ca


def test_clear_text_to_loopback() -> None:
    with service(echo) as port:
        round_trip(f"ws://127.0.0.1:{port}/")


@pytest.mark.parametrize("url", ["ws://10.0.0.1/", "http://127.0.0.1/", "ws://example.com/", "x"])
def test_clear_text_elsewhere_is_refused_before_a_connection(url: str) -> None:
    with pytest.raises(DisconnectedError, match="only wss"):
        transport.connect(url)


def test_tls_with_a_ca_bundle(tls: tuple[str, str]) -> None:
    round_trip(*tls)


def test_an_unknown_ca_is_refused_in_words(tls: tuple[str, str]) -> None:
    with pytest.raises(DisconnectedError, match="not trusted") as caught:
        transport.connect(tls[0])
    assert "cell=1" not in str(caught.value)


def test_a_missing_bundle_is_an_ordinary_failure(tls: tuple[str, str]) -> None:
    with pytest.raises(DisconnectedError, match="No such file"):
        transport.connect(tls[0], "/nonexistent/ca.pem")


def test_https_proxy_with_credentials(
    tls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = ConnectProxy()
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
    round_trip(*tls)
    proxy.close()
    assert proxy.requests[0].startswith("CONNECT 127.0.0.1:")
    assert "Basic bWU6cEBzcw==" in proxy.requests[0]


@pytest.mark.parametrize("exception", ["127.0.0.1", "*"])
def test_no_proxy_wins(
    tls: tuple[str, str], monkeypatch: pytest.MonkeyPatch, exception: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", exception)
    round_trip(*tls)


def test_a_refusing_proxy_is_named(tls: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = ConnectProxy(refuse=True)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(DisconnectedError, match="407"):
        transport.connect(*tls)
    proxy.close()


def test_clear_text_never_goes_to_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with service(echo) as port:
        round_trip(f"ws://127.0.0.1:{port}/")


def test_fragments_are_joined() -> None:
    def fragmented(connection: ServerConnection) -> None:
        connection.send([b"a", b"", b"b", b"c"])
        connection.send(b"whole")
        stay(connection)

    with service(fragmented) as port:
        websocket = transport.connect(f"ws://127.0.0.1:{port}/")
        assert collect(websocket, 2) == [b"abc", b"whole"]
        websocket.close()


def test_messages_before_a_goodbye_are_given_first() -> None:
    def bye(connection: ServerConnection) -> None:
        connection.send(b"last")
        connection.close(1000, "Bye")

    with service(bye) as port:
        websocket = transport.connect(f"ws://127.0.0.1:{port}/")
        assert collect(websocket, 1) == [b"last"]
        until = time.monotonic() + 60
        while not websocket.readable_now and time.monotonic() < until:
            select.select([websocket], [], [], 0.2)
            assert websocket.receive() == []
        assert websocket.readable_now, "a goodbye wants to be told, whatever the socket says"
        with pytest.raises(DisconnectedError, match="Bye"):
            websocket.receive()
        with pytest.raises(DisconnectedError, match="Bye"):
            websocket.send_frames([b"x"])
        websocket.close()


def test_pongs_are_counted() -> None:
    with service(echo) as port:
        websocket = transport.connect(f"ws://127.0.0.1:{port}/")
        websocket.ping()
        websocket.send_frames([b"x"])
        collect(websocket, 1)
        assert websocket.pongs == 1
        websocket.close()


def test_a_message_in_the_same_breath_as_the_upgrade_is_not_lost() -> None:
    port, thread = raw_server(b"\x82\x05early")
    websocket = transport.connect(f"ws://127.0.0.1:{port}/")
    assert websocket.readable_now
    assert websocket.receive() == [b"early"]
    websocket.close()
    thread.join()


@pytest.mark.parametrize(
    "answer",
    [b"\x82\x7f" + struct.pack("!Q", 1 << 40), b"\xff\xff\xff", b"\x82\x85mask12345", b"\x80\x00"],
)
def test_hostile_frames_are_a_disconnection(answer: bytes) -> None:
    port, thread = raw_server(answer)
    websocket = transport.connect(f"ws://127.0.0.1:{port}/")
    with pytest.raises(DisconnectedError):
        collect(websocket, 1)
    websocket.close()
    thread.join()


def test_a_refused_upgrade_is_a_disconnection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def refuse() -> None:
            peer, _ = listener.accept()
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            peer.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(DisconnectedError, match="403"):
            transport.connect(f"ws://127.0.0.1:{port}/")
        thread.join()
