"""A stream that may go on without this process, because another one holds its other end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sm_proxy.tunnel.stream import StreamWrapper


class LeavableStream(StreamWrapper):
    """A `Stream` whose other end is held by a process that may carry it on, to ssh itself.

    After `leave`, that process may agree. Then `room` is 0, and the stream ends a moment later:
    these were the last bytes that this process carries. Once ssh has them, `left` lets the other
    process go on.
    """

    def leave(self, descriptors: Sequence[int], connection: dict[str, Any]) -> bool:
        """Ask the other process to go on.

        Args:
            descriptors: see `PassingStdio.for_another`.
            connection: what it must know for the connection's record, as JSON.

        Returns:
            Whether it was asked.
        """
        raise NotImplementedError

    def left(self) -> bool:
        """Let the other process go on, once ssh has all bytes; returns whether it does."""
        raise NotImplementedError
