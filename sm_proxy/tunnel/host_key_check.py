"""A stream that checks the server's host key against the log before ssh gets the key.

We hold an unexpected key back for a bounded time while we read the log again: a container that
restarted has a new log stream with a new marker. If the log does not name the key, the user sees
the expected and the actual key. Then we pass the key to ssh, which refuses it, and no byte more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from sm_proxy.errors import SmProxyError
from sm_proxy.local.threads import Background
from sm_proxy.tunnel.ssh_packets import HostKeyReader
from sm_proxy.tunnel.stream import Stream, StreamWrapper

PATIENCE_S: Final = 15.0
"""The limit for a read of the log that hangs; longer than the log may lag, see `policy.py`."""
_TICK_S: Final = 0.05


class HostKeyJudge(Protocol):
    """Which host keys may be accepted: see `host_keys/policy.py`."""

    def accepts(self, blob: bytes) -> bool:
        """Whether the key is expected."""

    def judge(self, blob: bytes, through: str) -> SmProxyError | None:
        """Read the log until it names the key; the error if it does not, else None. May block."""

    def refusal(self, blob: bytes, through: str, unread_because: str = "") -> SmProxyError:
        """The error for a refused key; `unread_because` is empty if the log was read again."""


class HostKeyCheckedStream(StreamWrapper):
    """A `Stream` that passes no byte after a refused host key.

    Args:
        stream: to the container.
        keys: decides which host keys are accepted.
        on_refusal: shows the error to the user; called before ssh gets the key.

    Attributes:
        refusal: the error for the server's key, if it is refused.
    """

    def __init__(
        self, stream: Stream, keys: HostKeyJudge, on_refusal: Callable[[SmProxyError], None]
    ) -> None:
        super().__init__(stream)
        self.refusal: SmProxyError | None = None
        self._keys = keys
        self._on_refusal = on_refusal
        self._reader = HostKeyReader()
        self._held = b""
        self._check: Background[SmProxyError | None] | None = None
        self._until = 0.0

    @property
    def transparent(self) -> bool:
        """Whether no key is left to check: it is accepted, or only ssh can judge it."""
        waiting = self._check is not None or self._held
        return self._reader.over and not waiting and self.refusal is None

    @property
    def ended(self) -> bool:
        """Whether no more bytes will come; after a refusal none do."""
        if self._check is not None:
            return False
        return self.refusal is not None or self._stream.ended

    @property
    def failure(self) -> Exception | None:
        """Why it ended; None after a clean end."""
        return self.refusal or self._stream.failure

    @property
    def room(self) -> int:
        """How many bytes `write` takes now."""
        return self._stream.room if self.refusal is None else 0

    def fileno(self) -> int:
        """The descriptor to wait for; -1 while only the answer of the log is missing."""
        waiting = self._check is not None and self._stream.ended
        return -1 if waiting else self._stream.fileno()

    def deadline(self, now: float) -> float:
        """When to call `advance` at the latest."""
        if self._check is None:
            return self._stream.deadline(now)
        tick = now + _TICK_S
        return tick if self._stream.ended else min(tick, self._stream.deadline(now))

    def advance(self, now: float, *, readable: bool) -> None:
        """Drive the stream, and check whether the log has answered."""
        self._stream.advance(now, readable=readable)
        if self._check is not None:
            self._settle(self._check, now)

    def read(self) -> bytes:
        """The bytes that have come, except those with a key that is being judged."""
        if self._check is not None:
            return b""
        if self._held or self.refusal is not None:
            data, self._held = self._held, b""
            return data
        data = self._stream.read()
        if data and not self._reader.over:
            return self._checked(data)
        return data

    def _checked(self, data: bytes) -> bytes:
        self._reader.feed(data)
        blob = self._reader.blob
        if blob is None or self._keys.accepts(blob):
            return data
        self._held = data
        through = self.through
        self._check = Background(lambda: self._keys.judge(blob, through))
        return b""

    def _settle(self, check: Background[SmProxyError | None], now: float) -> None:
        self._until = self._until or now + PATIENCE_S
        if check.done:
            self.refusal = check.result()
        elif now >= self._until and self._reader.blob is not None:
            unread_because = f"no answer in {PATIENCE_S:.0f} s"
            self.refusal = self._keys.refusal(self._reader.blob, self.through, unread_because)
        else:
            return
        self._check = None
        if self.refusal is not None:
            self._on_refusal(self.refusal)
