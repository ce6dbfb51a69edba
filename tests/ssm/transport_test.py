from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.sync.server import ServerConnection
from websockets.uri import parse_uri

from sm_proxy.ssm import dial, transport
from sm_proxy.ssm.dial import DIRECT, Network, Proxy, UnreachableError
from sm_proxy.ssm.transport import DisconnectedError, WebSocket
from tests.ssm.service import ConnectProxy, certificate, frame, raw_server, service, stay
from tests.waits import await_true


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


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


def round_trip(url: str, network: Network = DIRECT) -> None:
    websocket = transport.connect(url, network)
    try:
        websocket.send_frames([b"one", bytes(100_000)])
        assert collect(websocket, 2) == [b"one", bytes(100_000)]
    finally:
        websocket.close()


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, Network]]:
    context, ca = certificate(tmp_path)
    with service(echo, context) as port:
        yield f"wss://127.0.0.1:{port}/v1/data-channel/s?role=x&cell=1", Network(ca)


def test_clear_text_to_loopback() -> None:
    with service(echo) as port:
        round_trip(f"ws://127.0.0.1:{port}/")


@pytest.mark.parametrize("url", ["ws://10.0.0.1/", "http://127.0.0.1/", "ws://example.com/", "x"])
def test_clear_text_elsewhere_is_refused_before_a_connection(url: str) -> None:
    with pytest.raises(DisconnectedError, match="only wss"):
        transport.connect(url)


def test_tls_with_a_ca_bundle(tls: tuple[str, Network]) -> None:
    round_trip(*tls)


def test_an_unknown_ca_is_named_as_the_reason(tls: tuple[str, Network]) -> None:
    with pytest.raises(UnreachableError, match="not trusted") as caught:
        transport.connect(tls[0])
    assert "cell=1" not in str(caught.value)


def test_certificates_are_read_once_and_again_after_a_change(
    tls: tuple[str, Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, network = tls
    made: list[ssl.SSLContext] = []
    new = ssl.SSLContext

    def context(protocol: int) -> ssl.SSLContext:
        made.append(new(protocol))
        return made[-1]

    monkeypatch.setattr(ssl, "SSLContext", context)
    dial.prepare(network)
    for _ in range(2):
        dial.dial(url, network).close()
    assert len(made) == 1
    Path(str(network.ca_bundle)).write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        dial.dial(url, network)


def test_prepare_leaves_the_error_of_a_missing_file_to_dial() -> None:
    dial.prepare(Network("/nonexistent/ca.pem"))


def test_a_missing_ca_bundle_is_unreachable(tls: tuple[str, Network]) -> None:
    with pytest.raises(UnreachableError, match="No such file"):
        transport.connect(tls[0], Network("/nonexistent/ca.pem"))


def through(proxy: ConnectProxy, network: Network, **headers: str) -> Network:
    return replace(network, proxy_for=lambda _: Proxy("127.0.0.1", proxy.port, headers))


def test_through_a_proxy_with_its_headers(tls: tuple[str, Network]) -> None:
    proxy = ConnectProxy()
    url, network = tls
    round_trip(url, through(proxy, network, Authorized="yes"))
    proxy.close()
    assert proxy.requests[0].startswith("CONNECT 127.0.0.1:")
    assert "Authorized: yes" in proxy.requests[0]


def test_a_refusing_proxy_is_named(tls: tuple[str, Network]) -> None:
    proxy = ConnectProxy(refuse=True)
    url, network = tls
    with pytest.raises(UnreachableError, match="407"):
        transport.connect(url, through(proxy, network))
    proxy.close()


def test_clear_text_never_goes_to_a_proxy() -> None:
    network = Network(proxy_for=lambda _: Proxy("127.0.0.1", 1))
    with service(echo) as port:
        round_trip(f"ws://127.0.0.1:{port}/", network)


def test_fragments_are_joined() -> None:
    def fragmented(connection: ServerConnection) -> None:
        connection.send([b"a", b"", b"b", b"c"])
        connection.send(b"whole")
        stay(connection)

    with service(fragmented) as port:
        websocket = transport.connect(f"ws://127.0.0.1:{port}/")
        assert collect(websocket, 2) == [b"abc", b"whole"]
        websocket.close()


def test_messages_before_a_close_frame_are_returned_first() -> None:
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
        assert websocket.readable_now, "the close is reported although the socket has no bytes"
        with pytest.raises(DisconnectedError, match="Bye"):
            websocket.receive()
        with pytest.raises(DisconnectedError, match="Bye"):
            websocket.send_frames([b"x"])
        websocket.close()


def test_all_tls_records_that_wait_are_read_at_once(tls: tuple[str, Network]) -> None:
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    messages = [bytes([number]) * 1024 for number in range(20)]
    websocket = transport.connect(*tls)
    websocket.send_frames(messages)
    websocket.flush()

    def waiting() -> int:
        size = fcntl.ioctl(websocket.fileno(), termios.FIONREAD, bytes(4))
        return int.from_bytes(size, sys.byteorder)

    await_true(lambda: waiting() > 20 * 1024, 60)
    assert websocket.receive() == messages
    assert websocket.receive() == []
    websocket.close()


class Records(ssl.SSLSocket):
    """A TLS socket that brings these records, then perhaps fails; it is never readable again."""

    def bring(self, *records: bytes | OSError) -> None:
        self.records = list(records)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        del buflen, flags
        record = self.records.pop(0) if self.records else ssl.SSLWantReadError()
        if isinstance(record, OSError):
            raise record
        return record

    def pending(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("end", "reason"),
    [(b"", "the service closed"), (ssl.SSLError(1, "bad record mac"), "bad record mac")],
)
def test_an_end_behind_tls_records_is_reported_although_nothing_is_readable(
    end: bytes | OSError, reason: str
) -> None:
    peer = Records.__new__(Records)
    peer.bring(frame(b"one"), frame(b"two"), end)
    protocol = ClientProtocol(parse_uri("ws://127.0.0.1/"))
    protocol.state = State.OPEN
    websocket = WebSocket(peer, protocol)
    assert websocket.receive() == [b"one", b"two"]
    assert websocket.readable_now
    with pytest.raises(DisconnectedError, match=reason):
        websocket.receive()


def test_pongs_are_counted() -> None:
    with service(echo) as port:
        websocket = transport.connect(f"ws://127.0.0.1:{port}/")
        websocket.ping()
        websocket.send_frames([b"x"])
        collect(websocket, 1)
        assert websocket.pongs == 1
        websocket.close()


def test_a_message_in_the_packet_of_the_upgrade_is_not_lost() -> None:
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
