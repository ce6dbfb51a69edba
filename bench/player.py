"""A peer without the agent's pauses: it sends prepared frames, or acknowledges what it receives.

It runs in its own process, so that only the ProxyCommand process is measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from websockets.sync.server import ServerConnection, serve

from sm_proxy.ssm import message, smux
from sm_proxy.ssm.session import Grant
from tests.ssm.service import certificate

_LAYOUT = struct.Struct(">I32sIQqQ16s32sII")
_HANDSHAKE = {
    "AgentVersion": "3.3.1230.0",
    "RequestedClientActions": [
        {
            "ActionType": "SessionType",
            "ActionParameters": {
                "SessionType": "Port",
                "Properties": {"portNumber": "22", "type": "LocalPortForwarding"},
            },
        }
    ],
}
_GREETING = b"SSH-2.0-bench\r\n"
_CHUNK = 1024 - 8

_PAUSE_S = 0.001
"""The agent's pause behind each message (A: port_mux.go:252)."""

Start = Callable[..., "subprocess.Popen[bytes]"]
"""Starts the helper with a grant, messages per second, and the file of a CA."""


def download_rate(start: Start, size: int) -> float:
    """MB/s through the helper's stdout, from a player with `size` bytes in 1,024-byte messages."""
    with _player("down", size) as url:
        return _download(start(Grant("s", "t", url), "inf"), size)[0]


def paced(start: Start, size: int, *, tls: bool) -> tuple[float, float]:
    """MB/s from a player that pauses as the agent does, and CPU seconds for 200 MiB."""
    with tempfile.TemporaryDirectory() as folder:
        ca = certificate(Path(folder))[1] if tls else ""
        with _player("paced", size, ca) as url:
            rate, cpu = _download(start(Grant("s", "t", url), "inf", ca), size)
    return rate, cpu * (200 << 20) / size


def _download(process: subprocess.Popen[bytes], size: int) -> tuple[float, float]:
    """MB/s through the helper's stdout, and its CPU seconds."""
    if process.stdout is None:
        raise RuntimeError("no pipe")
    process.stdout.readline()
    started, before = time.perf_counter(), cpu_of(process)
    left = size
    while left > 0:
        data = process.stdout.read1(1 << 20)  # type: ignore[attr-defined]
        if not data:
            raise RuntimeError("the helper ended early")
        left -= len(data)
    elapsed, cpu = time.perf_counter() - started, cpu_of(process) - before
    close(process)
    return size / elapsed / 1e6, cpu


def cpu_of(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds of a running process of one thread (Linux)."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text("ascii").split()[0]) / 1e9


def close(process: subprocess.Popen[bytes]) -> None:
    """Close both pipes and wait, as ssh does at its end."""
    for pipe in (process.stdout, process.stdin):
        if pipe is not None:
            pipe.close()
    process.wait()


def upload_rate(start: Start, size: int) -> float:
    """MB/s from the helper's stdin to a player that acknowledges at once."""
    data = os.urandom(size)
    with _player("up", size) as url:
        process = start(Grant("s", "t", url), "inf")
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        process.stdout.readline()
        started = time.perf_counter()
        process.stdin.write(data)
        process.stdin.flush()
        if process.stdout.readline() != b"all\n":
            raise RuntimeError("the helper ended early")
        elapsed = time.perf_counter() - started
        close(process)
    return size / elapsed / 1e6


class _player:  # noqa: N801 - reads as a function
    """The player's process; entering gives its URL."""

    def __init__(self, mode: str, size: int, ca: str = "") -> None:
        self._words = [sys.executable, "-m", "bench.player", mode, str(size), ca]

    def __enter__(self) -> str:
        self._process = subprocess.Popen(self._words, stdout=subprocess.PIPE, text=True)
        if self._process.stdout is None:
            raise RuntimeError("no pipe")
        return self._process.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


def _frame(sequence: int, payload_type: int, payload: bytes, kind: str = message.OUTPUT) -> bytes:
    digest = hashlib.sha256(payload).digest()
    field = kind.encode().ljust(32)
    header = _LAYOUT.pack(
        116, field, 1, 1, sequence, 0, os.urandom(16), digest, payload_type, len(payload)
    )
    return header + payload


def _acknowledgement(received: message.Message) -> bytes:
    payload = {
        "AcknowledgedMessageType": "input_stream_data",
        "AcknowledgedMessageId": "0" * 36,
        "AcknowledgedMessageSequenceNumber": received.sequence,
        "IsSequentialMessage": True,
    }
    return _frame(0, 0, json.dumps(payload).encode(), message.ACKNOWLEDGE)


def _psh(data: bytes) -> bytes:
    return smux.data_frame(data)


def _serve(mode: str, size: int, ca: str) -> None:
    count = -(-size // _CHUNK) if mode != "up" else 0
    block = os.urandom(_CHUNK)
    frames = [_frame(n + 3, 1, _psh(block)) for n in range(count)]
    context = None
    if ca:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(ca).with_name("server.pem"))

    def play(connection: ServerConnection) -> None:
        connection.recv()
        connection.send(_frame(0, 5, json.dumps(_HANDSHAKE).encode()))
        connection.send(_frame(1, 7, b'{"HandshakeTimeToComplete":1,"CustomerMessage":""}'))
        connection.send(_frame(2, 1, _psh(_GREETING)))
        if mode == "up":
            _play_up(connection, size)
        else:
            _play_down(connection, frames, _PAUSE_S if mode == "paced" else 0)

    # Unbounded queue: acks wait there while the frames are sent.
    options = {"compression": None, "max_size": None, "max_queue": None}
    with serve(play, "127.0.0.1", 0, ssl=context, **options) as server:
        print(f"{'wss' if ca else 'ws'}://127.0.0.1:{server.socket.getsockname()[1]}/", flush=True)
        server.serve_forever()


def _play_down(connection: ServerConnection, frames: list[bytes], pause_s: float) -> None:
    for frame in frames:
        connection.send(frame)
        if pause_s:
            time.sleep(pause_s)
    for _ in connection:
        pass


def _play_up(connection: ServerConnection, size: int) -> None:
    reader = smux.Reader()
    got = 0
    for frame in connection:
        received = message.decode(frame if isinstance(frame, bytes) else frame.encode())
        if received.kind != message.INPUT:
            continue
        connection.send(_acknowledgement(received))
        if received.payload_type == message.PayloadType.OUTPUT:
            got += sum(len(piece or b"") for _, piece in reader.feed(received.payload))
            if got == size:
                connection.send(_frame(3, 1, _psh(b"all\n")))


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
