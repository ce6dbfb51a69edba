"""HTTP/1.1 with keep-alive, one thread per connection.

Werkzeug's server closes the connection after each response. AWS keeps it open, and the lab's
timings should be like those of AWS.
"""

from __future__ import annotations

import email.utils
import http.client
import socket
import socketserver
import sys
import time
import traceback
from typing import TYPE_CHECKING

from sm_proxy_lab.aws.control import PREFIX, Control
from sm_proxy_lab.aws.http.errors import Reply
from sm_proxy_lab.aws.http.request import parse

if TYPE_CHECKING:
    from io import BufferedReader

    from sm_proxy_lab.aws.app import AwsApp

_MAX_LINE = 64 * 1024
_MAX_BODY = 1 << 30  # build contexts; the rest is far smaller


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves the AWS API on a socket that already listens."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, app: AwsApp) -> None:
        super().__init__(listener.getsockname()[:2], _Connection, bind_and_activate=False)
        self.socket.close()
        listener.setblocking(True)
        self.socket = listener
        self.app = app
        self.control = Control(app)

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Ignore that a client is gone; print any other error."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc(file=sys.stderr)


class _Connection(socketserver.BaseRequestHandler):
    """One connection and the requests on it."""

    server: Server

    def handle(self) -> None:
        connection: socket.socket = self.request
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb") as reader:
            while self._one(connection, reader):
                pass

    def _one(self, connection: socket.socket, reader: BufferedReader) -> bool:
        """Answer one request; return whether another may follow."""
        line = reader.readline(_MAX_LINE).decode("latin-1")
        if not line.strip():
            return bool(line)  # an empty line before a request is allowed
        try:
            method, target, version = line.split()
            headers = _headers(reader)
            if headers.get("expect", "").lower() == "100-continue":
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = _body(reader, headers)
        except ValueError as error:
            connection.sendall(_wire(Reply(400, str(error).encode()), method="GET", close=True))
            return False
        if headers.get("upgrade", "").lower() == "websocket":
            return self._tunnel(connection, target, headers)
        close = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0"
        reply = self._answer(method, target, headers, body)
        skew = self.server.app.faults["clock_skew_s"]
        connection.sendall(_wire(reply, method=method, close=close, skew_s=skew))
        return not close

    def _tunnel(self, connection: socket.socket, target: str, headers: dict[str, str]) -> bool:
        """Hand a client over to the gateway, if it may open a tunnel; this connection ends here."""
        app = self.server.app
        found = app.open_tunnel(parse("GET", target, headers, b""))
        if isinstance(found, Reply):
            connection.sendall(_wire(found, method="GET", close=True))
            return False
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        # Detached, because the server shuts a connection down when we return.
        with open(connection.detach(), "rb", buffering=0) as client:  # noqa: PTH123 - a descriptor
            app.gateway.hand_over(client.fileno(), head="\r\n".join([*lines, "", ""]), **found)
        return False

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        if target.startswith(PREFIX):
            return self.server.control.answer(method, target.partition("?")[0], body)
        return self.server.app.answer(parse(method, target, headers, body))


def _headers(reader: BufferedReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    while True:
        line = reader.readline(_MAX_LINE)
        if line in {b"\r\n", b"\n", b""}:
            return headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise ValueError("malformed header")
        headers[name.strip().lower()] = value.strip()


def _body(reader: BufferedReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return b"".join(_chunks(reader))
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _MAX_BODY:
        raise ValueError("body too large")
    body = reader.read(length)
    if len(body) < length:
        raise ConnectionError("the client went away")
    return body


def _chunks(reader: BufferedReader) -> list[bytes]:
    chunks: list[bytes] = []
    total = 0
    while True:
        size = int(reader.readline(_MAX_LINE).partition(b";")[0], 16)
        total += size
        if not 0 <= total <= _MAX_BODY:
            raise ValueError("body too large")
        if size == 0:
            _headers(reader)  # trailers
            return chunks
        chunks.append(reader.read(size))
        reader.readline(_MAX_LINE)


def _wire(reply: Reply, *, method: str, close: bool, skew_s: float = 0) -> bytes:
    has_length = any(name.lower() == "content-length" for name in reply.headers)
    reason = http.client.responses.get(reply.status, "")
    lines = [
        f"HTTP/1.1 {reply.status} {reason}",
        "Server: Server",
        f"Date: {email.utils.formatdate(time.time() + skew_s, usegmt=True)}",
        *([] if has_length else [f"Content-Length: {len(reply.body)}"]),
        f"Connection: {'close' if close else 'keep-alive'}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
    ]
    head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
    return head if method == "HEAD" else head + reply.body
