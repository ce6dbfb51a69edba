"""How to reach a container: each route is one module with `connect(container, ...) -> Stream`."""

from __future__ import annotations

from typing import Any, Protocol


class Stream(Protocol):
    """A duplex byte stream that never blocks; whoever drives it waits, then calls `advance`.

    The driver waits for `fileno` (readable, and writable if `wants_write`) or `deadline`.
    """

    @property
    def opened(self) -> bool:
        """Whether bytes can flow."""

    @property
    def ended(self) -> bool:
        """Whether no more bytes will come; what `read` still holds may be taken."""

    @property
    def failure(self) -> Exception | None:
        """Why it ended, unless cleanly."""

    @property
    def delivered(self) -> bool:
        """Whether everything written has reached the other side."""

    @property
    def finished(self) -> bool:
        """Whether both ends know that it is over."""

    @property
    def room(self) -> int:
        """How many bytes `write` takes now; 0 means: do not read the source."""

    @property
    def wants_read(self) -> bool:
        """Whether to wait for the descriptor to be readable."""

    @property
    def wants_write(self) -> bool:
        """Whether to wait for the descriptor to be writable."""

    def record_fields(self) -> dict[str, Any]:
        """What a record of the connection should say: see `connection_log.ConnectionRecord`."""

    def fileno(self) -> int:
        """The descriptor to wait for; it may change at every `advance`."""

    def deadline(self, now: float) -> float:
        """When to call `advance` although nothing is ready, in the time of `time.monotonic`."""

    def advance(self, now: float, *, readable: bool) -> None:
        """Do everything that can be done without waiting."""

    def read(self) -> bytes:
        """The bytes that have come since the last call."""

    def write(self, data: bytes) -> None:
        """Take at most `room` bytes for the other side."""

    def finish(self) -> None:
        """Deliver what was written, then end; go on advancing until `ended`."""

    def close(self) -> None:
        """Free everything, within about two seconds."""
