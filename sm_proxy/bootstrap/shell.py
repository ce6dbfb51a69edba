"""A shell session as a way to run commands: each answer stands between two random words.

Nothing else in the session is trusted to be an answer: the account's preferences may print a
greeting, run a profile or start another shell, and a terminal echoes what we type. So we type the
words in two halves, and only the command's output has them whole.

The agent's shell sessions (A: session/shell/shell.go) pass input unchanged, but output with bytes
above 0x7F may shrink, or be held back until more comes. So both ways carry ASCII only. The terminal
stays in its line mode, in which a program never reads beyond the end of a line: `head -n 9` takes
nine lines and leaves the rest to the next command.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import debug_log, poll

LINE_LIMIT: Final = 3000
"""Longest line to type, in bytes: a terminal in line mode drops what exceeds 4,095."""
ANSWER_LIMIT: Final = 1 << 20
ANSWER_S: Final = 30.0
LEAVE_S: Final = 3.0
_ENTER_S: Final = 10.0
"""How long until we type the first line again: a profile may have eaten it."""
_ENTRIES: Final = 3
_CHUNK: Final = 1 << 15
_SHOWN: Final = 200
_LOOP: Final = (
    ' /bin/sh -c \'stty -echo 2>/dev/null; printf "\\n%s%s 0\\n" {0} {1};'
    ' while IFS= read -r smp_line; do eval "$smp_line"; done\'; exit'
)
"""Starts, below whatever shell the session has, one that runs each line that we type. Every common
shell reads this line in the same way. The space keeps it out of the history."""


@dataclass(frozen=True)
class Answer:
    """A command's exit status and its output, stdout and stderr, without carriage returns."""

    status: int
    text: str


class RemoteShell:
    """A POSIX shell at the other end of a socket.

    Args:
        connection: carries the bytes of the session's terminal.
        raise_failure: raises the session's failure, if it has one.
    """

    def __init__(self, connection: socket.socket, raise_failure: Callable[[], None]) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._raise_failure = raise_failure
        self._seen = b""

    def enter(self) -> None:
        """Start our shell below the session's own.

        Raises:
            SmProxyError: `unsupported`, what runs there is no shell; or as `run`.
        """
        for _ in range(_ENTRIES):
            word = _Word()
            with contextlib.suppress(TimeoutError):
                self._exchange(_LOOP.format(word.first, word.second), b"", word.end(), _ENTER_S)
                return
        said = f"; it says: {self._last_words}" if self._last_words else ""
        raise SmProxyError(
            "unsupported",
            f"the session's shell does not run what we type{said}",
            "Look at the shell profile in Session Manager's preferences, and the image's /bin/sh.",
        )

    def run(
        self,
        command: str,
        body: bytes = b"",
        patience: float = ANSWER_S,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> Answer:
        """Run a command to its end.

        Args:
            command: one line for a POSIX shell.
            body: the command's stdin: ASCII lines of at most `LINE_LIMIT` bytes, all of which it
                must read. Without them, its stdin is empty.
            patience: seconds without progress until we give up.
            on_progress: told how many bytes of the body have been sent.

        Raises:
            SmProxyError: `session-lost`, the session has ended or there is no answer;
                `unsupported`, the answer is too long.
        """
        begin, end = _Word(), _Word()
        stdin = "" if body else " </dev/null"
        line = (
            f'printf "\\n%s%s\\n" {begin.first} {begin.second}; {{ {command}; }} 2>&1{stdin};'
            f' printf "\\n%s%s %s\\n" {end.first} {end.second} "$?"'
        )
        if len(line) > LINE_LIMIT or not line.isascii() or "\n" in line:
            raise ValueError("a command must be one short line of ASCII")
        try:
            found = self._exchange(line, body, end.end(begin), patience, on_progress)
        except TimeoutError:
            raise SmProxyError(
                "session-lost",
                f"the container's shell has not answered within {patience:.0f} s",
                "Run it again.",
            ) from None
        return Answer(int(found["status"]), found["text"].decode(errors="replace").strip("\n"))

    def leave(self) -> None:
        """End our shell, and wait up to `LEAVE_S` until that has ended the session."""
        until = time.monotonic() + LEAVE_S
        with contextlib.suppress(OSError, SmProxyError):
            self._socket.send(b"exit 0\n")
            while (left := until - time.monotonic()) > 0:
                if poll.wait([self._socket.fileno()], [], [], left).readable:
                    self._receive()

    @property
    def _last_words(self) -> str:
        return printable(self._seen[-_SHOWN:].decode(errors="replace"))

    def _exchange(
        self,
        line: str,
        body: bytes,
        answer: re.Pattern[bytes],
        patience: float,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> re.Match[bytes]:
        debug_log.write("typed", bytes=len(line) + 1 + len(body))
        self._seen = b""
        unsent = memoryview(line.encode() + b"\n" + body)
        until = time.monotonic() + patience
        while True:
            if sent := self._send(unsent):
                unsent = unsent[sent:]
                on_progress(min(len(body), len(body) - len(unsent)))
                until = time.monotonic() + patience
            if found := answer.search(self._seen):
                return found
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            descriptor = [self._socket.fileno()]
            if poll.wait(descriptor, descriptor if unsent else [], [], left).readable:
                self._receive()

    def _send(self, unsent: memoryview) -> int:
        try:
            return self._socket.send(unsent[:_CHUNK]) if unsent else 0
        except BlockingIOError:
            return 0
        except OSError:  # the session has ended, but its last output is not read yet
            self._receive()
            return 0

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._raise_failure()
            said = f"; it said last: {self._last_words}" if self._last_words else ""
            raise SmProxyError(
                "session-lost", f"the shell session has ended{said}", "Run it again."
            )
        self._seen += data.replace(b"\r", b"")
        if len(self._seen) > ANSWER_LIMIT:
            raise SmProxyError(
                "unsupported",
                "the container's shell does not stop printing",
                "Look at its profile.",
            )


class _Word:
    """A random word that output has as a whole only if a shell has put its halves together."""

    def __init__(self) -> None:
        self.first, self.second = f"smp{secrets.token_hex(6)}", secrets.token_hex(6)

    @property
    def _whole(self) -> bytes:
        return (self.first + self.second).encode()

    def end(self, begin: _Word | None = None) -> re.Pattern[bytes]:
        """Matches an answer that ends with this word and an exit status.

        Where the echo cannot be switched off, what we type may stand before and after a word.
        """
        head = begin._whole if begin else b""  # noqa: SLF001 - of the same class
        pattern = head + rb"(?P<text>.*?)" + self._whole + rb" (?P<status>\d{1,3})\n"
        return re.compile(pattern, re.DOTALL)
