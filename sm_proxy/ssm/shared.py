"""One SSM session that carries several streams: for connections that share it, one after another.

Each stream is a smux stream of its own: the agent dials the port for each. Agents without smux
carry one stream only.
"""

from __future__ import annotations

from typing import Protocol


class SessionStream(Protocol):
    """One stream of a session: a `tunnel.stream.Stream`.

    `advance`, `fileno`, `deadline`, `wants_read` and `wants_write` are those of its session: who
    drives the session drives all its streams.

        failure     its own (`refused`, `unanswered`, ...), else the session's
        finish      sends the agent a FIN behind what was written; the session goes on
        finished    whether both FINs have come, or the session is over
        close       ends the stream at once; never blocks, and the session goes on
        unread      bytes of memory that wait for `read`
    """

    @property
    def opened(self) -> bool: ...  # noqa: D102

    @property
    def ended(self) -> bool: ...  # noqa: D102

    @property
    def failure(self) -> Exception | None: ...  # noqa: D102

    @property
    def suspicion(self) -> Exception | None: ...  # noqa: D102

    @property
    def delivered(self) -> bool: ...  # noqa: D102

    @property
    def finished(self) -> bool: ...  # noqa: D102

    @property
    def room(self) -> int: ...  # noqa: D102

    @property
    def wants_read(self) -> bool: ...  # noqa: D102

    @property
    def wants_write(self) -> bool: ...  # noqa: D102

    @property
    def through(self) -> str: ...  # noqa: D102

    @property
    def session_id(self) -> str: ...  # noqa: D102

    @property
    def resumes(self) -> int: ...  # noqa: D102

    @property
    def unread(self) -> int: ...  # noqa: D102

    def fileno(self) -> int: ...  # noqa: D102

    def deadline(self, now: float) -> float: ...  # noqa: D102

    def advance(self, now: float, *, readable: bool) -> None: ...  # noqa: D102

    def read(self) -> bytes: ...  # noqa: D102

    def write(self, data: bytes) -> None: ...  # noqa: D102

    def finish(self) -> None: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class SharedSession(Protocol):
    """A session with several streams; `share(api, options, grant)` opens one.

    Its driver waits for `fileno` and `deadline` and calls `advance`, as that of a `Stream`. Then it
    reads and writes the streams. A stream that is not read holds back only itself, until the unread
    bytes of all streams reach `UNREAD_LIMIT`. Then the session reads no more. If that lasts for
    `STALL_S`, the stream with the most unread bytes fails and the others go on.

    Attributes:
        failure: why the session failed, which is also that of each open stream; None before that
            and after a clean end. A refused dial fails its stream only.
        ended: whether the session is over. Then no stream gets more bytes, and none can be opened.
        multiplexed: whether it can carry more than one stream; False before `opened`.
        streams: those that are not closed and whose end not both sides know.
    """

    @property
    def opened(self) -> bool: ...  # noqa: D102

    @property
    def ended(self) -> bool: ...  # noqa: D102

    @property
    def failure(self) -> Exception | None: ...  # noqa: D102

    @property
    def finished(self) -> bool: ...  # noqa: D102

    @property
    def wants_read(self) -> bool: ...  # noqa: D102

    @property
    def wants_write(self) -> bool: ...  # noqa: D102

    @property
    def session_id(self) -> str: ...  # noqa: D102

    @property
    def resumes(self) -> int: ...  # noqa: D102

    @property
    def multiplexed(self) -> bool: ...  # noqa: D102

    @property
    def streams(self) -> list[SessionStream]: ...  # noqa: D102

    def open_stream(self) -> SessionStream:
        """A new stream. The first may be opened at once, further ones after `opened`.

        Raises:
            RuntimeError: the session is over or finishing, or not multiplexed and has its stream.
        """

    def fileno(self) -> int: ...  # noqa: D102

    def deadline(self, now: float) -> float: ...  # noqa: D102

    def advance(self, now: float, *, readable: bool) -> None: ...  # noqa: D102

    def finish(self) -> None:
        """End all streams and then the session. Call `advance` until `finished`."""

    def close(self) -> None:
        """Close; TerminateSession unless the end is confirmed. Takes at most two seconds."""
