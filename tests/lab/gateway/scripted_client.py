"""A minimal client of the data channel that does what a test tells it, even if that is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import struct
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sm_proxy_lab.gateway.control import Control
from sm_proxy_lab.gateway.instances import Instances
from sm_proxy_lab.gateway.service import Service
from sm_proxy_lab.gateway.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

HEADER = struct.Struct(">I32sIQqQ16s32sII")
SMUX = struct.Struct("<BBHI")
REMOTE = "AWS-StartPortForwardingSessionToRemoteHost"
LOCAL = "AWS-StartPortForwardingSession"
SSH = "AWS-StartSSHSession"
CLIENT_VERSION = "1.2.677.0"
SYN, FIN, PSH, NOP = range(4)


class Received(NamedTuple):
    """A message from the gateway."""

    type: str
    sequence: int
    flags: int
    id: uuid.UUID
    payload_type: int
    payload: bytes
    digest_ok: bool
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.payload)


def encode(
    kind: str, payload: bytes, sequence: int = 0, flags: int = 0, payload_type: int = 0
) -> bytes:
    name = uuid.uuid4().bytes
    return (
        HEADER.pack(
            116, kind.encode().ljust(32), 1, int(time.time() * 1000), sequence, flags,
            name[8:] + name[:8], hashlib.sha256(payload).digest(), payload_type, len(payload),
        )
        + payload
    )  # fmt: skip


def decode(raw: bytes) -> Received:
    length, kind, _, _, sequence, flags, name, digest, payload_type, _ = HEADER.unpack_from(raw)
    assert length == 116
    assert kind.rstrip(b" ").isascii()
    assert b"\0" not in kind
    payload = raw[120:]
    return Received(
        kind.decode().rstrip(" "),
        sequence,
        flags,
        uuid.UUID(bytes=name[8:] + name[:8]),
        payload_type,
        payload,
        digest == hashlib.sha256(payload).digest(),
        raw,
    )


def ack(message: Received) -> bytes:
    content = {
        "AcknowledgedMessageType": message.type,
        "AcknowledgedMessageId": str(message.id),
        "AcknowledgedMessageSequenceNumber": message.sequence,
        "IsSequentialMessage": True,
    }
    return encode("acknowledge", json.dumps(content).encode(), 0, 3)


def frame(command: int, stream: int, data: bytes = b"") -> bytes:
    return SMUX.pack(1, command, len(data), stream) + data


def frames(data: bytes) -> list[tuple[int, int, bytes]]:
    """Parse smux frames; the last one may be cut short and is left out."""
    found = []
    while len(data) >= SMUX.size:
        version, command, length, stream = SMUX.unpack_from(data)
        assert version == 1
        if len(data) < SMUX.size + length:
            break
        found.append((command, stream, data[SMUX.size : SMUX.size + length]))
        data = data[SMUX.size + length :]
    return found


async def until(true: Callable[[], object], seconds: float = 45) -> None:
    """Wait until `true()` holds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not true():
        if asyncio.get_running_loop().time() > deadline:
            raise asyncio.TimeoutError
        await asyncio.sleep(0.001)


class Client:
    """Keeps the messages it receives; acks and orders data unless a test switches that off."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.acking = True
        self.reacking = True  # ack duplicates, too; the reference client does not
        self.messages: list[Received] = []
        self.data = b""
        self.sequence = 0
        self.expected = 0
        self.acked: set[int] = set()
        self.closed = False
        self._early: dict[int, Received] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, given: dict[str, str], token: str | None = None) -> Client:
        self = cls(await connect(given["StreamUrl"], compression=None, max_size=None))
        await self.present(given["TokenValue"] if token is None else token)
        return self

    async def present(self, token: str) -> None:
        request = {
            "MessageSchemaVersion": "1.0",
            "RequestId": str(uuid.uuid4()),
            "TokenValue": token,
            "ClientId": str(uuid.uuid4()),
            "ClientVersion": CLIENT_VERSION,
        }
        await self.socket.send(json.dumps(request))

    async def reopen(self, given: dict[str, str]) -> None:
        """Continue with the same state on another connection."""
        await self.close()
        self.closed = False
        self.socket = await connect(given["StreamUrl"], compression=None, max_size=None)
        self._reader = asyncio.create_task(self._read())
        await self.present(given["TokenValue"])

    async def handshake(self, version: str = CLIENT_VERSION, status: int = 1) -> Received:
        await self.until(lambda: self.of_type(5))
        request = self.of_type(5)[0]
        actions = [
            {
                "ActionType": a["ActionType"],
                "ActionStatus": status,
                "ActionResult": None,
                "Error": "",
            }
            for a in request.json["RequestedClientActions"]
        ]
        response = {"ClientVersion": version, "ProcessedClientActions": actions, "Errors": None}
        await self.send(json.dumps(response).encode(), 6)
        if status == 1:
            await self.until(lambda: self.of_type(7) and 0 in self.acked)
        return request

    async def send(self, payload: bytes, payload_type: int = 1) -> None:
        sequence, self.sequence = self.sequence, self.sequence + 1
        await self.send_as(sequence, payload, payload_type)

    async def send_as(self, sequence: int, payload: bytes, payload_type: int = 1) -> None:
        await self.socket.send(encode("input_stream_data", payload, sequence, 0, payload_type))

    async def send_surely(self, payload: bytes, payload_type: int = 1) -> None:
        """Send until it is acknowledged: the agent rejects data before it is ready."""
        sequence, self.sequence = self.sequence, self.sequence + 1
        while sequence not in self.acked:
            assert not self.closed
            with contextlib.suppress(ConnectionClosed):  # the reader still takes earlier messages
                await self.send_as(sequence, payload, payload_type)
            with contextlib.suppress(asyncio.TimeoutError):
                await self.until(lambda: sequence in self.acked or self.closed, 0.02)

    async def flag(self, value: int) -> None:
        await self.send(value.to_bytes(4, "big"), 10)

    @property
    def distinct(self) -> list[Received]:
        """The messages without duplicates, which come when acks are late."""
        found: dict[uuid.UUID, Received] = {}
        for message in self.messages:
            found.setdefault(message.id, message)
        return list(found.values())

    def of_type(self, payload_type: int) -> list[Received]:
        return [m for m in self.distinct if m.payload_type == payload_type]

    def named(self, kind: str) -> list[Received]:
        return [m for m in self.messages if m.type == kind]

    @property
    def output(self) -> str | None:
        """The Output of channel_closed; None until it comes."""
        closed = self.named("channel_closed")
        return closed[0].json["Output"] if closed else None

    async def until(self, true: Callable[[], object], seconds: float = 45) -> None:
        await until(true, seconds)

    async def close(self) -> None:
        await self.socket.close()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    def vanish(self) -> None:
        """Drop the connection without a close frame."""
        self.socket.transport.abort()

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for raw in self.socket:
                assert isinstance(raw, bytes)
                await self._receive(decode(raw))
        self.closed = True

    async def _receive(self, message: Received) -> None:
        self.messages.append(message)
        if message.type == "acknowledge":
            self.acked.add(message.json["AcknowledgedMessageSequenceNumber"])
        elif message.type == "output_stream_data":
            await self._take(message)

    async def _take(self, message: Received) -> None:
        assert message.digest_ok
        if not self.acking or (message.sequence < self.expected and not self.reacking):
            return
        with contextlib.suppress(ConnectionClosed):  # the reader still takes earlier messages
            await self.socket.send(ack(message))
        if message.sequence >= self.expected:
            self._early[message.sequence] = message
        while self.expected in self._early:
            due = self._early.pop(self.expected)
            self.expected += 1
            if due.payload_type == 1:
                self.data += due.payload


class Lab:
    """A gateway in this process, and an echo server behind it."""

    def __init__(self, service: Service, port: int, sessions: Path) -> None:
        self.service = service
        self.control = Control(service)
        self.port = port
        self.sessions = sessions
        self.accepted: list[asyncio.StreamWriter] = []

    def ask(self, op: str, **request: Any) -> dict[str, Any]:
        return self.control.answer(json.dumps({"op": op, **request}))

    def faults(self, **faults: Any) -> None:
        assert self.ask("faults", faults=faults) == {}

    def start(
        self, document: str = REMOTE, host: str = "127.0.0.1", port: int = 0, **more: Any
    ) -> dict[str, str]:
        parameters = {"portNumber": [str(port or self.port)]}
        if document != SSH:
            parameters["localPortNumber"] = ["0"]
        if document == REMOTE:
            parameters["host"] = [host]
        request = {"target": "i-0", "document": document, "parameters": parameters, **more}
        return self.ask("start", **request)

    def open_ids(self) -> list[str]:
        return self.sessions.read_text().split()

    def worker(self, session: str) -> Worker:
        """The agent's side of an open session."""
        worker = self.service.find(session)._link.worker
        assert worker
        return worker

    async def client(self, **how: Any) -> tuple[Client, str]:
        """Start a session and open its channel."""
        given = self.start(**how)
        return await Client.open(given), given["SessionId"]


@contextlib.asynccontextmanager
async def lab(
    folder: Path,
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any] | None = None,
    latency: float = 0,
    **faults: Any,
) -> AsyncIterator[Lab]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()

    made: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(writer)
        try:
            await (serve or echo)(reader, writer)
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    target = await asyncio.start_server(accept, "127.0.0.1", 0)
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    instances = Instances(folder / "instances")
    service = Service(f"{host}:{port}", folder / "sessions", instances, latency)
    server = await loop.create_server(service.connection, sock=listener)
    it = Lab(service, target.sockets[0].getsockname()[1], folder / "sessions")
    it.accepted = made
    it.faults(**faults)
    try:
        yield it
    finally:
        service.close()
        await _settle()
        # Before Python 3.12, a server that closes loses what it has just accepted: its socket
        # stays open, and the warning about that fails whichever test runs next.
        server.close()
        target.close()
        for writer in made:
            writer.close()
        await _settle()
        left = [t for t in asyncio.all_tasks() if "gateway/" in repr(t) and "sm_proxy" in repr(t)]
        assert not left, left


async def _settle() -> None:
    """Let tasks end that were cancelled, which takes a few turns of the event loop."""
    for _ in range(100):
        await asyncio.sleep(0)


class LateReader:
    """A target that reads nothing until `release` is set, then everything."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.total = 0

    async def __call__(self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await self.release.wait()
        reader._transport.resume_reading()  # type: ignore[attr-defined]
        while data := await reader.read(1 << 20):
            self.total += len(data)


async def opened(client: Client) -> None:
    """Shake hands, send `hello` and wait until the target has echoed it."""
    await client.handshake()
    await client.send_surely(b"hello")
    await client.until(lambda: client.data == b"hello")


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test for at most a minute."""
    asyncio.run(asyncio.wait_for(main, 60))
