"""The connection to the service: one websocket after another, for the same session.

Without a websocket, a thread tries to resume the session (P: sessionhandler.go:95-138). The link's
descriptor becomes readable when the thread is done.
"""

from __future__ import annotations

import json
import socket
import time
import uuid
from typing import Final

from sm_proxy.ssm import transport
from sm_proxy.ssm.api import Api, Grant
from sm_proxy.ssm.dial import Network
from sm_proxy.ssm.gather import Gather
from sm_proxy.ssm.handshake import CLIENT_VERSION
from sm_proxy.ssm.liveness import Liveness
from sm_proxy.ssm.resume import RESUME_DEADLINE_S, Resumption
from sm_proxy.ssm.transport import DisconnectedError, WebSocket

_STABLE_S: Final = 60.0
"""A connection that lasted so long counts as progress, even without data."""
_NEVER: Final = float("inf")


class Link:
    """The current connection of a session, or the attempt to get a new one.

    Attributes:
        websocket: the connection; None while there is none.
        given_up: why there will be no further connection; empty until then.
        cause: the caller's own exception behind that, if its API raised a `FinalError`.
        resumes: how many lost connections were resumed.
    """

    def __init__(
        self, api: Api, grant: Grant, websocket: WebSocket, network: Network, now: float
    ) -> None:
        self.websocket: WebSocket | None = websocket
        self.given_up = ""
        self.cause: Exception | None = None
        self.resumes = 0
        self._api = api
        self._grant = grant
        self._network = network
        self._client_id = str(uuid.uuid4())
        self._resumption: Resumption | None = None
        self._resume_until = 0.0
        self._without_progress = 0
        self._connected_at = now
        self._liveness = Liveness(now, time.time())
        self._gather = Gather()
        self._idle: tuple[socket.socket, socket.socket] | None = None
        self._introduce(websocket, grant)

    def fileno(self) -> int:
        """The descriptor to wait for; it changes with the connection."""
        if self._resumption is not None:
            return self._resumption.fileno()
        if self.websocket is not None:
            return self.websocket.fileno()
        if self._idle is None:  # nothing will arrive, but callers wait on some descriptor
            self._idle = socket.socketpair()
        return self._idle[0].fileno()

    @property
    def unsent_bytes(self) -> int:
        """How many bytes wait to be written."""
        return self.websocket.unsent_bytes if self.websocket is not None else 0

    @property
    def can_send(self) -> bool:
        """Whether there is a connection, and nothing waits to be written."""
        return self.websocket is not None and not self.websocket.unsent

    @property
    def gathering(self) -> bool:
        """Whether messages of a bulk transfer gather: do not wait for them, and do not receive."""
        return self._gather.until < _NEVER

    def gathered(self, now: float) -> bool:
        """Whether messages have gathered for long enough: receive them."""
        return self._gather.over(now)

    def deadline(self, *, listening: bool) -> float:
        """When the link needs attention if nothing is ready.

        Args:
            listening: whether the caller would call `receive`.
        """
        if self._resumption is not None:
            return self._resumption.deadline
        if self.websocket is None:
            return _NEVER
        if listening and self.websocket.readable_now:
            return -_NEVER
        return min(self._gather.until, self._liveness.deadline)

    def receive(self, websocket: WebSocket, now: float) -> list[bytes]:
        """The messages that have arrived.

        Raises:
            DisconnectedError: the connection is gone.
        """
        pongs = websocket.pongs
        messages = websocket.receive()
        self._gather.took(messages, now)
        self._liveness.heard(now)
        if websocket.pongs > pongs:
            self._liveness.pong(now)
        return messages

    def note_progress(self) -> None:
        """This connection brought something new, so the next loss gets the full time to resume."""
        self._without_progress = 0

    def keep_alive(self, websocket: WebSocket, now: float, *, deaf: bool) -> None:
        """Ping when it is time, and notice a dead connection.

        Args:
            websocket: the connection.
            now: the time.
            deaf: whether we stopped reading because our buffer is full. Then silence means nothing.

        Raises:
            DisconnectedError: nothing arrived for too long.
        """
        if deaf:
            self._liveness.heard(now)
        if self._liveness.lost(now):
            raise DisconnectedError("nothing arrived for too long")
        if self._liveness.ping_due(now, time.time()):
            websocket.ping()

    def broke(self, now: float, reason: str, *, resume: bool) -> None:
        """The connection is gone; try to get a new one if `resume`."""
        if self.websocket is not None:
            self.websocket.close()
            self.websocket = None
        self._gather = Gather()  # nothing will: a resumption is listened to at once
        if not resume:
            return
        if self._without_progress == 0 or now - self._connected_at >= _STABLE_S:
            self._resume_until = now + RESUME_DEADLINE_S
            self._without_progress = 0
        self._resumption = Resumption(
            self._attempt, reason, self._resume_until, self._without_progress
        )

    def take_up(self, now: float) -> bool:
        """Take the result of a resumption, if it has one; return whether there is a new connection.

        Raises:
            DisconnectedError: it broke at once.
        """
        resumption = self._resumption
        outcome = resumption.outcome(now) if resumption is not None else None
        if resumption is None or outcome is None:
            return False
        self._resumption = None
        if isinstance(outcome, str):
            resumption.cancel()
            self.cause = resumption.cause
            self.given_up = f"the connection was lost ({resumption.reason}) and {outcome}"
            if self._without_progress:
                self.given_up += (
                    f"; the last {self._without_progress} resumed connections brought nothing new"
                )
            return False
        resumption.take()
        self.resumes += 1
        grant, self.websocket = outcome
        self._connected_at = now
        self._without_progress += 1  # until `note_progress`
        self._liveness = Liveness(now, time.time())
        self._gather = Gather()
        self._introduce(self.websocket, grant)
        return True

    def close(self) -> None:
        """Free everything."""
        if self._resumption is not None:
            self._resumption.cancel()
            self._resumption = None
        if self.websocket is not None:
            self.websocket.close()
            self.websocket = None
        for unused in self._idle or ():
            unused.close()

    def _introduce(self, websocket: WebSocket, grant: Grant) -> None:
        """Send the first frame: text, with the token (P: datachannel/streaming.go:201-221)."""
        websocket.send_text(
            json.dumps(
                {
                    "MessageSchemaVersion": "1.0",
                    "RequestId": str(uuid.uuid4()),
                    "TokenValue": grant.token,
                    "ClientId": self._client_id,
                    "ClientVersion": CLIENT_VERSION,
                }
            )
        )

    def _attempt(self) -> tuple[Grant, WebSocket] | None:
        """One attempt, in the resumption's thread; None when the session is over."""
        grant = self._api.resume(self._grant.session_id)
        if grant is None:
            return None
        url = grant.stream_url or self._grant.stream_url
        return grant, transport.connect(url, self._network)
