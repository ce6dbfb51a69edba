"""A line on the user's terminal while the lab starts: that takes seconds, and prints nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator

_TICK_S = 1.0
_WITHOUT_CURSOR = {"dumb", "unknown"}


class _Line:
    """The line of the terminal that stderr is."""

    def __init__(self) -> None:
        self._stands = False

    def show(self, text: str) -> None:
        """Write it, or write it anew."""
        self._stands = True
        _write(text)

    def erase(self) -> None:
        """Erase it, if it stands there."""
        if self._stands:
            self._stands = False
            _write("")


_LINE = _Line()


@contextlib.asynccontextmanager
async def shown() -> AsyncIterator[None]:
    """While entered, a line tells each second that the lab starts; then it is erased."""
    line = asyncio.create_task(_show()) if _is_ours() else None
    try:
        yield
    finally:
        if line is not None:
            line.cancel()
        erase()


def erase() -> None:
    """Erase the line, if it stands there: a process that exits at once leaves `shown` no time."""
    _LINE.erase()


async def _show() -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(_TICK_S)
        _LINE.show(f"sm-proxy lab: starting ({time.monotonic() - began:.0f}s)")


def _is_ours() -> bool:
    """Whether stderr is a terminal on which we may rewrite a line: not in the background."""
    if os.environ.get("TERM") in _WITHOUT_CURSOR:
        return False
    try:
        return sys.stderr.isatty() and os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        # The cursor is where a message of the lab would begin.
        sys.stderr.write(f"\r\033[K{text}\r")
        sys.stderr.flush()
