"""One SSM session as one byte stream."""

from __future__ import annotations

import time

from sm_proxy.ssm import engine, smux
from sm_proxy.ssm.api import (
    TERMINATE_DEADLINE_S,
    Api,
    FinalError,
    Grant,
    Kind,
    Options,
    SessionEndedError,
    terminate_within_bound,
)
from sm_proxy.ssm.channel import State
from sm_proxy.ssm.engine import Engine

__all__ = [
    "TERMINATE_DEADLINE_S",
    "Api",
    "FinalError",
    "Grant",
    "Kind",
    "Options",
    "Session",
    "SessionEndedError",
    "start",
    "terminate_within_bound",
]


class Session(Engine):
    """A byte stream to a port behind an SSM agent: the end of the stream is that of the session."""

    @property
    def ended(self) -> bool:
        """Whether no more bytes will arrive. `read` may still return earlier ones."""
        return self._incoming.first.ended or super().ended

    @property
    def suspicion(self) -> Exception | None:
        """A possible cause of a clean end, if the target ended the session; else None."""
        return self.suspicion_of(self._channel.repeated_at)

    @property
    def delivered(self) -> bool:
        """Whether everything written has been acknowledged."""
        return self._channel.delivered

    @property
    def room(self) -> int:
        """How many bytes `write` accepts now."""
        return self._channel.room if self._opened and not self.ended else 0

    def write(self, data: bytes) -> None:
        """Queue bytes for the target; at most `room`."""
        self._channel.write(data)

    def read(self) -> bytes:
        """The target's bytes since the last call, at most about a megabyte."""
        over = self.ended or self._finishing
        hold = self.is_recent(self._channel.repeated_at) and not over
        return self._incoming.first.read(time.monotonic(), hold=hold)

    def finish(self) -> None:
        """Deliver what is queued, then end the session. Call `advance` until `finished`."""
        self._finishing = True
        if self.multiplexed and self._channel.state is State.OPEN:
            self._channel.write_whole(smux.close_stream())
        self._channel.finish()


def start(api: Api, options: Options, grant: Grant) -> Session:
    """Open the websocket of a granted session. The handshake happens in calls of `advance`.

    Raises:
        Exception: `options.failure` of `unopened` or `lost`: the websocket cannot be opened, or
            the service refuses it. The session is terminated.
    """
    return engine.open_with(Session, api, options, grant)
