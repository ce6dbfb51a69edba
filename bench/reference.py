"""A model of the reference client, session-manager-plugin, after its sources.

It sends 1,024 bytes in a message, pauses for 1 ms, and acknowledges each message (config.go:27,
standardstreamforwarding.go:57-71). It blocks, with one thread for each direction. Every 100 ms it
resends the oldest message if that is 200 ms old and unacknowledged. It shares only the wire format
with our client. Downloads are compared with this model too, which then only acknowledges.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from sm_proxy.ssm import message, smux
from sm_proxy.ssm.session import Grant

_CHUNK = 1024
_PAUSE_S = 0.001
_RESEND_TICK_S = 0.1
_RESEND_AFTER_S = 0.2
_RESPONSE = {
    "ClientVersion": "1.2.677.0",
    "ProcessedClientActions": [
        {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""}
    ],
    "Errors": None,
}


class ReferenceClient:
    """One session; `received` counts the target's bytes."""

    def __init__(self, grant: Grant) -> None:
        self.received = 0
        self._sequence = 0
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._smux = smux.Reader()
        self._connection: ClientConnection = connect(grant.stream_url, compression=None)
        introduction = {
            "MessageSchemaVersion": "1.0",
            "RequestId": str(uuid.uuid4()),
            "TokenValue": grant.token,
            "ClientId": str(uuid.uuid4()),
            "ClientVersion": "1.2.677.0",
        }
        self._connection.send(json.dumps(introduction))
        self._unacknowledged: dict[int, tuple[float, bytes]] = {}
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._resend, daemon=True).start()
        self._open.wait(10)
        self._send(1, smux.open_stream())

    def upload(self, data: bytes) -> None:
        """Send `data` as the reference client does."""
        for start in range(0, len(data), _CHUNK - 8):
            self._send(1, smux.data_frame(data[start : start + _CHUNK - 8]))
            time.sleep(_PAUSE_S)

    def await_received(self, count: int) -> None:
        """Wait until `count` bytes have come."""
        while self.received < count:
            time.sleep(0.0005)

    def close(self) -> None:
        """End the session."""
        self._send(10, message.Flag.TERMINATE_SESSION.payload())
        time.sleep(0.05)
        self._connection.close()

    def _send(self, payload_type: int, payload: bytes) -> None:
        with self._lock:
            now_ms = int(time.time() * 1000)
            frame = message.encode_input(self._sequence, payload_type, payload, now_ms)
            self._unacknowledged[self._sequence] = time.monotonic(), frame
            self._sequence += 1
            self._connection.send(frame)

    def _resend(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                time.sleep(_RESEND_TICK_S)
                with self._lock:
                    for sent_at, frame in list(self._unacknowledged.values())[:1]:
                        if time.monotonic() - sent_at > _RESEND_AFTER_S:
                            self._connection.send(frame)

    def _read(self) -> None:
        expected = 0
        for frame in self._connection:
            received = message.decode(frame if isinstance(frame, bytes) else frame.encode())
            if received.kind == message.ACKNOWLEDGE:
                sequence = json.loads(received.payload)["AcknowledgedMessageSequenceNumber"]
                self._unacknowledged.pop(sequence, None)
            if received.kind != message.OUTPUT:
                continue
            with self._lock:
                self._connection.send(message.encode_ack(received, int(time.time() * 1000)))
            if received.sequence != expected:
                continue
            expected += 1
            if received.payload_type == message.PayloadType.HANDSHAKE_REQUEST:
                self._send(6, json.dumps(_RESPONSE).encode())
            elif received.payload_type == message.PayloadType.HANDSHAKE_COMPLETE:
                self._open.set()
            elif received.payload_type == message.PayloadType.OUTPUT:
                self.received += sum(
                    len(piece or b"") for _, piece in self._smux.feed(received.payload)
                )
