"""One websocket over a non-blocking socket: connect, then read and write whatever is ready.

The protocol itself (upgrade, fragments, pings, close) is the `websockets` library's sans-I/O core;
`frames` has a shorter way for whole binary messages. Its import takes 7 ms after botocore's; an
asyncio client's would take 60 ms more.
"""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import time
from typing import Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from sm_proxy.ssm import frames
from sm_proxy.ssm.dial import (
    CONNECT_TIMEOUT_S,
    DIRECT,
    DisconnectedError,
    Network,
    UnreachableError,
    dial,
    words,
)

__all__ = [
    "DisconnectedError",
    "RefusedError",
    "UnreachableError",
    "WebSocket",
    "connect",
    "connect_with_retries",
]

MESSAGE_LIMIT: Final = 256 << 10
"""The agent's messages have about 1 KiB; a handshake document has a few."""
READ_CHUNK: Final = 64 << 10
_CLOSED: Final = "the service closed the connection"
_RETRY_DELAYS_S: Final = (0.2, 0.4)
_RETRY_WITHIN_S: Final = 10.0
_WOULD_BLOCK: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class RefusedError(DisconnectedError):
    """The service answered the upgrade with an error.

    Attributes:
        status: the HTTP status.
        body: of the answer, as text; may be empty.
    """

    def __init__(self, words: str, status: int, body: str) -> None:
        super().__init__(words)
        self.status = status
        self.body = body


class WebSocket:
    """An open websocket. Queue frames, flush when writable, receive when readable.

    Args:
        sock: connected and upgraded; it does not block.
        protocol: has had the whole answer to the upgrade, and nothing behind it.
        received: what arrived behind that answer: perhaps the first messages.

    Attributes:
        pongs: how many pings were answered.
        unsent_bytes: how many queued bytes `flush` has not written yet.
    """

    def __init__(
        self, sock: socket.socket, protocol: ClientProtocol, received: bytes = b""
    ) -> None:
        self.pongs = 0
        self.unsent_bytes = 0
        self._socket = sock
        self._protocol = protocol
        self._out: list[bytes] = []
        self._messages: list[bytes] = []
        self._partial = bytearray()
        self._fragmented = False
        self._rest = b""
        self._gone = ""
        self._take_events()
        self._take(received)

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""
        return self._socket.fileno()

    @property
    def unsent(self) -> bool:
        """Whether `flush` left something to write."""
        return self.unsent_bytes > 0

    def send_text(self, text: str) -> None:
        """Queue a text message.

        Raises:
            DisconnectedError: the connection is closed or closing.
        """
        self._require_open()
        self._protocol.send_text(text.encode())
        self._collect()

    def send_frames(self, messages: list[bytes]) -> None:
        """Queue binary messages, to be written together.

        Raises:
            DisconnectedError: the connection is closed or closing.
        """
        self._require_open()
        if self._protocol.state is not State.OPEN:
            raise DisconnectedError("the connection is closing")
        self._queue(frames.masked(messages))

    def ping(self) -> None:
        """Queue a ping; the answer counts as a sign of life.

        Raises:
            DisconnectedError: the connection is closed or closing.
        """
        self._require_open()
        self._protocol.send_ping(b"keepalive")
        self._collect()

    def flush(self) -> None:
        """Write what is queued, as far as the socket takes it now.

        Raises:
            DisconnectedError: the connection is gone.
        """
        while self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            try:
                sent = self._socket.send(data)
            except _WOULD_BLOCK:
                # TLS requires that a write is repeated with the same bytes, so keep them joined.
                self._out = [data]
                return
            except OSError as error:
                raise DisconnectedError(words(error)) from None
            self.unsent_bytes -= sent
            self._out = [data[sent:]] if sent < len(data) else []

    def receive(self) -> list[bytes]:
        """The whole messages that have arrived; an empty list when there is none yet.

        Raises:
            DisconnectedError: the connection is gone, and all earlier messages were returned. It
                names the peer's reason, if any.
        """
        if not self._messages:
            self._read()
        messages, self._messages = self._messages, []
        return messages

    @property
    def farewell(self) -> tuple[int, str] | None:
        """Code and reason with which the peer has closed the connection; None if it has not."""
        said = self._protocol.close_rcvd
        return None if said is None else (said.code, said.reason)

    def say_goodbye(self) -> None:
        """Queue a close frame behind all messages; go on receiving until the peer's.

        Raises:
            DisconnectedError: the connection is gone.
        """
        self._require_open()
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
        self._collect()

    @property
    def readable_now(self) -> bool:
        """Whether `receive` would return or raise at once, although a selector shows nothing."""
        if self._messages or self._gone:
            return True
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def close(self) -> None:
        """Send a close frame if the socket accepts it, then close."""
        with contextlib.suppress(DisconnectedError, WebSocketException):
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(1000)
            self._collect()
            self.flush()
        self._socket.close()

    def _read(self) -> None:
        if self._gone:
            raise DisconnectedError(self._gone)
        try:
            data = self._socket.recv(READ_CHUNK)
            more, end = self._further_records() if data else (b"", "")
        except _WOULD_BLOCK:
            return
        except OSError as error:
            raise DisconnectedError(words(error)) from None
        if not data:
            raise DisconnectedError(_CLOSED)
        self._take(data + more)
        self._gone = self._gone or end

    def _further_records(self) -> tuple[bytes, str]:
        """What has arrived behind one TLS record, and why nothing will follow it; mostly empty."""
        records: list[bytes] = []
        end = ""
        tls = isinstance(self._socket, ssl.SSLSocket)
        try:
            while tls and not end and sum(map(len, records)) < READ_CHUNK:
                records.append(self._socket.recv(READ_CHUNK))
                end = "" if records[-1] else _CLOSED
        except _WOULD_BLOCK:
            pass
        except OSError as error:
            end = words(error)
        return b"".join(records), end

    def _take(self, data: bytes) -> None:
        """Process received bytes: the library gets whole frames, of those that it gets at all."""
        data, at = self._rest + data, 0
        while not self._gone:
            if not self._fragmented:
                messages, at = frames.cut(data, at, MESSAGE_LIMIT)
                self._messages += messages
            end = frames.end_of(data, at, MESSAGE_LIMIT - len(self._partial))
            if end is None:
                break
            self._protocol.receive_data(data[at:end])
            self._take_events()
            at = end
        self._rest = data[at:]

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            if not isinstance(event, Frame):
                continue
            if event.opcode is Opcode.PONG:
                self.pongs += 1
            elif event.opcode in {Opcode.BINARY, Opcode.TEXT, Opcode.CONT}:
                self._assemble(event)
        protocol = self._protocol
        waits = protocol.close_sent and not (protocol.close_rcvd or protocol.parser_exc)
        if protocol.state is not State.OPEN and not waits:
            self._gone = _farewell(protocol)
        self._collect()

    def _assemble(self, frame: Frame) -> None:
        self._fragmented = not frame.fin
        if frame.fin and not self._partial:
            self._messages.append(bytes(frame.data))
            return
        self._partial += frame.data
        if frame.fin:
            self._messages.append(bytes(self._partial))
            self._partial.clear()

    def _collect(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._queue(data)

    def _queue(self, data: bytes) -> None:
        self._out.append(data)
        self.unsent_bytes += len(data)

    def _require_open(self) -> None:
        if self._gone:
            raise DisconnectedError(self._gone)


def connect(url: str, network: Network = DIRECT) -> WebSocket:
    """Open a websocket, blocking; afterwards it does not block.

    Args:
        url: `wss://...`, used as it is; `ws://` only to a loopback address.
        network: the proxy and the trusted certificates.

    Raises:
        UnreachableError: no connection, or its certificate is not trusted.
        DisconnectedError: refused by the service.
    """
    sock: socket.socket | None = None
    try:
        sock = dial(url, network)
        return _upgrade(sock, url)
    except (OSError, ValueError, EOFError, WebSocketException) as error:
        if sock is not None:
            sock.close()
        host = url.partition("?")[0]  # the query may hold secrets
        if isinstance(error, InvalidStatus):
            body = bytes(error.response.body or b"").decode(errors="replace")
            status = error.response.status_code
            raise RefusedError(f"{host}: {words(error)}", status, body) from None
        refused = isinstance(error, WebSocketException)
        kind = DisconnectedError if refused else UnreachableError
        raise kind(f"{host}: {words(error)}") from None


def connect_with_retries(url: str, network: Network = DIRECT) -> WebSocket:
    """As `connect`, up to three times while attempts fail fast: the token is valid for several.

    Raises:
        DisconnectedError: as `connect`, of the last attempt.
    """
    until = time.monotonic() + _RETRY_WITHIN_S
    for delay in _RETRY_DELAYS_S:
        with contextlib.suppress(DisconnectedError):
            return connect(url, network)
        if time.monotonic() >= until:
            break
        time.sleep(delay)
    return connect(url, network)


def _upgrade(sock: socket.socket, url: str) -> WebSocket:
    protocol = ClientProtocol(parse_uri(url), max_size=MESSAGE_LIMIT)
    protocol.send_request(protocol.connect())
    sock.sendall(b"".join(protocol.data_to_send()))
    until = time.monotonic() + CONNECT_TIMEOUT_S
    answer = io.BytesIO()
    while protocol.state is State.CONNECTING:
        if time.monotonic() >= until:
            raise TimeoutError("the upgrade to a websocket took too long")
        answer = io.BytesIO(data := sock.recv(READ_CHUNK))
        if not data:
            protocol.receive_eof()
        while protocol.state is State.CONNECTING and (line := answer.readline()):
            protocol.receive_data(line)
        if protocol.handshake_exc is not None:
            raise protocol.handshake_exc
    sock.setblocking(False)
    return WebSocket(sock, protocol, answer.read())


def _farewell(protocol: ClientProtocol) -> str:
    """Why the connection is no longer open."""
    if protocol.parser_exc is not None:
        return str(protocol.parser_exc) or type(protocol.parser_exc).__name__
    if protocol.close_rcvd is not None:
        return f"the service closed the connection: {protocol.close_rcvd}"
    return "the connection is closed"
