"""A small websocket service on loopback, in a thread, which a test scripts."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import websockets.version
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.sync.server import ServerConnection, serve

from sm_proxy.ssm.api import Grant
from tests.ssm import agent_wire as wire

_NO_PINGS: dict[str, Any] = {"ping_interval": None}
if int(websockets.version.version.partition(".")[0]) < 15:  # these send no pings anyway
    _NO_PINGS.clear()
Script = Callable[[ServerConnection], None]


@contextmanager
def service(script: Script, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Run `script` for each connection, and yield the port."""

    connections: list[ServerConnection] = []

    def run(connection: ServerConnection) -> None:
        connections.append(connection)
        with suppress(Exception):
            script(connection)

    with serve(run, "127.0.0.1", 0, ssl=context, close_timeout=1, **_NO_PINGS) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            for connection in connections:  # some releases of websockets leave them open
                with suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RDWR)
            thread.join()


def shake_hands(connection: ServerConnection, **request: Any) -> dict[str, Any]:
    """Do the agent's part of the handshake; returns the client's first frame."""
    opening = connection.recv()
    assert isinstance(opening, str), "the first frame is text"
    document: dict[str, Any] = json.loads(opening)
    connection.send(wire.output(0, wire.handshake_request(**request), wire.HS_REQUEST))
    expect(connection, wire.HS_RESPONSE)
    connection.send(wire.ack(0))
    connection.send(wire.output(1, b'{"CustomerMessage":"welcome"}', wire.HS_COMPLETE))
    return document


_SEEN: WeakKeyDictionary[ServerConnection, set[int]] = WeakKeyDictionary()


def expect(connection: ServerConnection, payload_type: int) -> wire.Wire:
    """The next new stream message, which must be of this type; skips acks and copies.

    Acks and copies are skipped: the client resends a message if the script acknowledges it late.
    """
    seen = _SEEN.setdefault(connection, set())
    while True:
        frame = connection.recv()
        assert isinstance(frame, bytes)
        message = wire.unpack(frame)
        if message.kind == "input_stream_data" and message.sequence not in seen:
            assert message.payload_type == payload_type
            seen.add(message.sequence)
            return message


def stay(connection: ServerConnection) -> None:
    """Leave the connection open until the client closes it; ignore what it sends."""
    while True:
        connection.recv()


def raw_server(answer: bytes, flood: bytes = b"") -> tuple[int, threading.Thread]:
    """A service that sends `answer` in the packet of the upgrade, and reads only then.

    With `flood` it sends that again and again and never reads.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listener, listener.accept()[0] as peer, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += peer.recv(4096)
            peer.sendall(_upgrade(head) + answer)
            while flood:
                peer.sendall(flood)
            while peer.recv(4096):
                pass

    thread = threading.Thread(target=run)
    thread.start()
    return listener.getsockname()[1], thread


def frame(message: bytes) -> bytes:
    """A server's websocket frame."""
    if len(message) < 126:
        return b"\x82" + bytes([len(message)]) + message
    return b"\x82\x7e" + len(message).to_bytes(2, "big") + message


def _upgrade(head: bytes) -> bytes:
    lines = head.split(b"\r\n")
    key = next(line for line in lines if line.lower().startswith(b"sec-websocket-key"))
    magic = key.split(b": ")[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(magic).digest())  # noqa: S324 - RFC 6455
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


class FakeApi:
    """StartSession and the other calls; records them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: list[str] = []
        self.over = False
        self.error: Exception | None = None

    def start(self) -> Grant:
        return Grant("s-1", "token-0", self.url)

    def resume(self, session_id: str) -> Grant | None:
        self.calls.append(f"resume {session_id}")
        if self.error is not None:
            raise self.error
        return None if self.over else Grant(session_id, f"token-{len(self.calls)}", self.url)

    def terminate(self, session_id: str) -> None:
        self.calls.append(f"terminate {session_id}")

    def data_key(self, key_id: str, session_id: str, challenge: str) -> tuple[bytes, bytes]:
        self.calls.append(f"key {key_id} {session_id} {challenge}")
        if self.error is not None:
            raise self.error
        return b"wrapped", bytes(range(64))


def certificate(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A server's TLS context for 127.0.0.1, and the file of the CA that signed it."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test CA")])
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    public = ca_key.public_key()
    ca = (
        _builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_signs_certificates(), critical=True)
    )
    leaf = (
        _builder(name, ca_name, key)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    ca_file, chain = folder / "ca.pem", folder / "server.pem"
    encoding = serialization.Encoding.PEM
    ca_file.write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(encoding))
    private = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(private + leaf.sign(ca_key, hashes.SHA256()).public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context, str(ca_file)


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )


class ConnectProxy:
    """An HTTP proxy with CONNECT on loopback; records the head of every request."""

    def __init__(self, *, refuse: bool = False) -> None:
        self.requests: list[str] = []
        self._refuse = refuse
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.requests.append(head.decode())
        if self._refuse:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            client.close()
            return
        host, port = head.split(b" ")[1].decode().rsplit(":", 1)
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        back = threading.Thread(target=_copy, args=(server, client), daemon=True)
        back.start()
        _copy(client, server)
        back.join()
        client.close()
        server.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
