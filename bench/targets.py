"""Servers behind the agent in a benchmark: a sink, a source, an echo. Each greets first."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

GREETING = b"SSH-2.0-bench\r\n"


class Target:
    """A server on loopback that runs `behave` for each connection; `received` counts bytes."""

    def __init__(self, behave: Callable[[Target, socket.socket], None]) -> None:
        self.received = 0
        self._behave = behave
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def await_received(self, count: int, timeout: float = 300) -> None:
        """Wait until `count` bytes have arrived."""
        deadline = time.monotonic() + timeout
        while self.received < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {self.received} of {count} bytes arrived")
            time.sleep(0.001)

    def _accept(self) -> None:
        while True:
            connection, _ = self._server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.sendall(GREETING)
            self._behave(self, connection)


def sink(target: Target, connection: socket.socket) -> None:
    """Read everything."""
    while data := connection.recv(1 << 20):
        target.received += len(data)


def echo(target: Target, connection: socket.socket) -> None:
    """Send everything back."""
    while data := connection.recv(1 << 16):
        target.received += len(data)
        connection.sendall(data)


def source(data: bytes) -> Callable[[Target, socket.socket], None]:
    """Send `data`, then read until the end."""

    def behave(target: Target, connection: socket.socket) -> None:
        connection.sendall(data)
        sink(target, connection)

    return behave


def endless(_target: Target, connection: socket.socket) -> None:
    """Send until the other end closes."""
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(bytes(1 << 16))
