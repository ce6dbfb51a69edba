"""A shell in the container that runs one line after the other, and tells where each answer ends."""

from __future__ import annotations

import secrets
from typing import Final

from sm_proxy.transfer.ssh.wire import Wire

ENCODING: Final = ("utf-8", "surrogateescape")
TEXT_LIMIT: Final = 64 << 20
"""The largest answer that is no file: the list of a folder."""
_CHUNK: Final = 1 << 16
_START_LIMIT: Final = 1 << 20
"""How much the start-up files of the login shell may print."""


class ShellChannel:
    """A POSIX shell at the other end of a wire.

    The shell gets its program as an argument, because dash reads a program on stdin in blocks, and
    would take bytes that are for a command. The end of an answer is a line with a random word.
    """

    def __init__(self) -> None:
        self._mark = secrets.token_hex(16)
        self._wire: Wire | None = None
        self._ahead = b""

    @property
    def command(self) -> str:
        """For ssh; the login shell of the user passes it on to `sh`."""
        program = (
            'LC_ALL=C; export LC_ALL; n=$(printf "\\nx"); n=${n%x}; '
            'while IFS= read -r c || [ -n "$c" ]; do eval "$c"; '
            f'printf "\\n%s %s\\n" {self._mark} "$?"; done'
        )
        return f"exec sh -c '{program}'"

    def begin(self, wire: Wire) -> None:
        """Wait until the shell answers; what came before is dropped.

        Raises:
            OSError, EOFError: the connection is lost.
        """
        self._wire = wire
        self.run(":", limit=_START_LIMIT)

    def run(
        self, line: str, data: bytes | memoryview = b"", *, limit: int = TEXT_LIMIT
    ) -> tuple[int, bytes]:
        """Run one line, and return its status and what it printed.

        Args:
            line: of shell. Unless it takes `data`, no command in it may read stdin.
            data: for the stdin of the line.
            limit: the most bytes that it may print.

        Raises:
            OSError, EOFError: the connection is lost.
        """
        if self._wire is None:
            raise EOFError("not begun")
        for piece in (memoryview(line.encode(*ENCODING) + b"\n"), memoryview(data)):
            left = piece
            while left:
                left = left[self._wire.send(left[:_CHUNK]) :]
        return self._answer(self._wire, limit)

    def close(self) -> None:
        """End the shell."""
        if self._wire is not None:
            self._wire.close()

    def _answer(self, wire: Wire, limit: int) -> tuple[int, bytes]:
        end = f"\n{self._mark} ".encode()
        found = bytearray(self._ahead)
        start = 0
        while True:
            at = found.find(end, start)
            stop = found.find(b"\n", at + len(end)) if at >= 0 else -1
            if stop >= 0:
                break
            start = max(0, len(found) - len(end)) if at < 0 else at
            if len(found) > limit + len(end) + 16:
                wire.lose("its shell prints without end")
                raise EOFError(wire.lost)
            data = wire.recv(_CHUNK)
            if not data:
                raise EOFError(wire.lost)
            found += data
        self._ahead = bytes(found[stop + 1 :])
        status = bytes(found[at + len(end) : stop])
        return int(status) if status.isdigit() else 1, bytes(found[:at])
