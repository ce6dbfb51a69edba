"""HTTP/1.1 on a loopback port: requests are read whole, responses are streamed.

h11 does the protocol: chunked bodies, keep-alive, `Expect: 100-continue`. One thread serves each
connection.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import h11

from sm_proxy.local import debug_log
from sm_proxy.local.threads import Background

Headers = tuple[tuple[str, str], ...]
"""Names in lower case, and values, decoded as Latin-1: so nothing is lost."""

BODY_LIMIT: Final = 64 << 20
"""Bytes. The largest request that SageMaker takes is far smaller."""
_HEAD_LIMIT: Final = 64 << 10
_READ: Final = 64 << 10
INTERIM_S: Final = 15.0
"""Pause between two `100 Continue`: botocore gives up after 60 s in which it receives nothing."""
_END_S: Final = 0.1
"""How long `__exit__` may take."""
_INTERIMS: Final = 4
"""The most `100 Continue` for one request: Go's client accepts five."""
STRANGER_S: Final = 60.0
"""How long a connection may stay without a request that is admitted."""


@dataclass(frozen=True)
class Request:
    """A request, with its whole body."""

    method: str
    target: str
    headers: Headers
    body: bytes

    def header(self, name: str) -> str:
        """The value of the first header of that name, in lower case; empty without one."""
        return next((value for key, value in self.headers if key == name), "")


@dataclass(frozen=True)
class Response:
    """A response. `chunks` is closed if it has `close` and is not read to its end."""

    status: int
    headers: Headers
    chunks: Iterable[bytes]
    reason: str = ""


class LoopbackServer:
    """Serves `handle` on 127.0.0.1 from entering to leaving it.

    Args:
        handle: answers a request; several threads call it. It must not raise.
        admits: whether a request with this target is read at all. Others get 404 before their body
            is read: other users of the machine can connect, and must not fill our memory.
        interim_s: seconds between two interim responses while `handle` works.
    """

    def __init__(
        self,
        handle: Callable[[Request], Response],
        admits: Callable[[str], bool] = lambda _: True,
        *,
        interim_s: float = INTERIM_S,
    ) -> None:
        server = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                server.serve(self.request)

        self._handle = handle
        self._admits = admits
        self._interim_s = interim_s
        self._server = _Server(("127.0.0.1", 0), Connection)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> LoopbackServer:  # noqa: PYI034 - Self is 3.11
        """Start to serve."""
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(_END_S,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Accept no more connections. Open ones end with the process."""
        self._server.shutdown()
        self._server.server_close()

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection, until either side closes it."""
        # Responses go out in several small writes.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(STRANGER_S)
        peer = _Peer(connection, self._admits)
        with contextlib.suppress(OSError):  # the client has gone
            try:
                while request := peer.read_request():
                    self._answer(peer, request)
                    if not peer.reusable():
                        break
            except h11.RemoteProtocolError as error:
                debug_log.write("endpoint: bad request", status=error.error_status_hint)
                peer.refuse(error.error_status_hint)

    def _answer(self, peer: _Peer, request: Request) -> None:
        work = Background(lambda: self._handle(request))
        for _ in range(_INTERIMS):
            if work.settled(self._interim_s):
                break
            peer.send_interim()
        peer.send_response(work.result())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Write no traceback: stderr belongs to the user's command."""
        del request, client_address
        debug_log.write("endpoint: a connection failed")


class _Peer:
    """The client's end of one connection."""

    def __init__(self, connection: socket.socket, admits: Callable[[str], bool]) -> None:
        self._socket = connection
        self._admits = admits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_LIMIT)

    def read_request(self) -> Request | None:
        """The next request; None once the client has closed the connection.

        Raises:
            h11.RemoteProtocolError: it is not HTTP/1, too large, or not admitted.
        """
        head = self._next_event()
        if not isinstance(head, h11.Request):
            return None
        target = head.target.decode("latin-1")
        if not self._admits(target):
            raise h11.RemoteProtocolError("not admitted", error_status_hint=404)
        self._socket.settimeout(None)  # SDKs keep connections that wait for a next request
        body = bytearray()
        while isinstance(event := self._next_event(), h11.Data):
            body += event.data
            if len(body) > BODY_LIMIT:
                raise h11.RemoteProtocolError("the body is too large", error_status_hint=413)
        if not isinstance(event, h11.EndOfMessage):
            return None
        return Request(
            head.method.decode("ascii"),
            target,
            tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in head.headers),
            bytes(body),
        )

    def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                self.send_interim()
            self._http.receive_data(self._socket.recv(_READ))
        return event

    def send_interim(self) -> None:
        """Send `100 Continue`: a client waits again for its whole timeout."""
        if self._http.their_http_version != b"1.0":
            self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))

    def send_response(self, response: Response) -> None:
        """Send a response; the connection ends early if its body does.

        Raises:
            OSError: the client has gone, or the rest of the body does not come.
        """
        try:
            self._send(
                h11.Response(
                    status_code=response.status,
                    headers=[
                        (name.encode("ascii"), value.encode("latin-1"))
                        for name, value in response.headers
                    ],
                    reason=response.reason.encode("latin-1"),
                )
            )
            for chunk in response.chunks:
                self._send(h11.Data(data=chunk))
            self._send(h11.EndOfMessage())
        finally:
            if close := getattr(response.chunks, "close", None):
                close()

    def refuse(self, status: int) -> None:
        """Answer a request that is not HTTP; the connection ends."""
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = (("content-length", "0"), ("connection", "close"))
            self.send_response(Response(status, headers, ()))

    def reusable(self) -> bool:
        """Whether the connection can carry another request; then prepare for it."""
        if self._http.our_state is h11.MUST_CLOSE or self._http.their_state is h11.MUST_CLOSE:
            return False
        with contextlib.suppress(h11.LocalProtocolError):
            self._http.start_next_cycle()
            return True
        return False

    def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._socket.sendall(data)
