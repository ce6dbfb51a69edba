"""A stream to a container whose address comes from the cache.

The cache may be stale: the job has ended, or its container was replaced and has another address.
So we keep the bytes from ssh until the first byte comes from the container. If no byte comes for
two seconds, or the stream ends, we resolve the container again while we wait. If it has moved, we
connect to the new address and send the same bytes there; ssh does not notice. After the first byte,
the address counts as right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sm_proxy.local import debug_log
from sm_proxy.local.threads import Background
from sm_proxy.tunnel.ssh_packets import Acceptance
from sm_proxy.tunnel.stream import Stream, StreamWrapper

PATIENCE_S: Final = 2.0
_TICK_S: Final = 0.05
_REMEMBERED_BYTES: Final = 1 << 16
"""Before the server's greeting, ssh sends only its own greeting and one key exchange message."""

Recheck = Callable[[], "Stream | None"]
"""Resolves the container again; if it has moved, returns a stream to the new address."""


class StaleAddressStream(StreamWrapper):
    """A `Stream` that may change its inner stream until the first byte has come.

    Args:
        stream: to the cached address.
        recheck: resolves the container again.
        forget: removes it from the cache; called if ssh did not accept the server's host key.
        now: the time of `time.monotonic`.
    """

    def __init__(
        self, stream: Stream, recheck: Recheck, forget: Callable[[], None], now: float
    ) -> None:
        super().__init__(stream)
        self._recheck = recheck
        self._forget = forget
        self._acceptance = Acceptance()
        self._greeted = False
        self._due = now + PATIENCE_S
        self._check: Background[Stream | None] | None = None
        self._settled = False
        self._failure: Exception | None = None
        self._sent = b""
        self._to_repeat = b""

    @property
    def transparent(self) -> bool:
        """Whether the container is known, has all bytes, and ssh has accepted its host key."""
        waiting = self._check is not None or self._to_repeat
        return self._settled and not waiting and self._acceptance.given

    @property
    def opened(self) -> bool:
        """Whether bytes can flow, and no check of the address is under way."""
        return self._stream.opened and (self._settled or self._check is None)

    @property
    def ended(self) -> bool:
        """Whether no more bytes will come, and the address has been checked."""
        return self._failure is not None or (self._settled and self._stream.ended)

    @property
    def failure(self) -> Exception | None:
        """Why it ended: the error of the check, else of the stream."""
        if self._failure is not None or not self._settled:
            return self._failure
        return self._stream.failure

    @property
    def delivered(self) -> bool:
        """Whether everything written has reached the other side."""
        return not self._to_repeat and self._stream.delivered

    @property
    def room(self) -> int:
        """How many bytes `write` takes now."""
        if self._settled:
            return 0 if self._to_repeat else self._stream.room
        if self._check is not None or self._to_repeat:
            return 0
        return min(self._stream.room, _REMEMBERED_BYTES - len(self._sent))

    def deadline(self, now: float) -> float:
        """When to call `advance` at the latest."""
        due = self._stream.deadline(now)
        if self._settled:
            return due
        return min(due, now + _TICK_S if self._check is not None else self._due)

    def advance(self, now: float, *, readable: bool) -> None:
        """Drive the stream and the check of its address."""
        self._stream.advance(now, readable=readable)
        if not self._settled:
            self._look(now)
        elif self._check is not None:
            self._drop_late_result(self._check)
        self._repeat(now)

    def read(self) -> bytes:
        """The bytes that have come; the first one proves the address."""
        data = self._stream.read()
        if data:
            self._greeted = True
            self._settle()
        return data

    def write(self, data: bytes) -> None:
        """Take bytes, and keep them until the address is proven."""
        if not self._settled:
            self._sent += data
        self._acceptance.feed(data)
        self._stream.write(data)

    def finish(self) -> None:
        """Deliver what was written, then end."""
        self._settle()
        self._stream.finish()

    def close(self) -> None:
        """Free everything."""
        if self._greeted and not self._acceptance.given:
            self._forget()
        if self._check is not None and (other := self._check.settled(0)) is not None:
            other.close()
        self._stream.close()

    def _look(self, now: float) -> None:
        if self._check is None:
            if now >= self._due or self._stream.ended:
                debug_log.write("no answer at the cached address, resolving again")
                self._check = Background(self._recheck)
            return
        if not self._check.done:
            return
        try:
            moved = self._check.result()
        except Exception as error:  # noqa: BLE001 - any error is this stream's failure
            self._failure = error
            return
        self._check = None
        if moved is not None:
            self._change_to(moved)
        self._settle()

    def _drop_late_result(self, check: Background[Stream | None]) -> None:
        """Close the stream of a check that ended after the first byte had come."""
        if check.done:
            self._check = None
            if (unwanted := check.settled(0)) is not None:
                Background(unwanted.close)

    def _change_to(self, stream: Stream) -> None:
        debug_log.write("the container has moved, dialling its new address")
        Background(self._stream.close)
        self._stream = stream
        self._to_repeat = self._sent

    def _settle(self) -> None:
        self._settled = True
        self._sent = b""

    def _repeat(self, now: float) -> None:
        while self._to_repeat and (room := self._stream.room):
            self._stream.write(self._to_repeat[:room])
            self._to_repeat = self._to_repeat[room:]
            self._stream.advance(now, readable=False)
