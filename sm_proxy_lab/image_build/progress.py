"""Prints a build's progress, in BuildKit's plain form."""

from __future__ import annotations

import sys
import time
from typing import Final

_TAIL: Final = 10
_AROUND: Final = 2


class Progress:
    """The steps of one build."""

    def __init__(self) -> None:
        self._number = 0
        self._title = ""
        self._began = 0.0
        self._rest = b""
        self._tail: list[str] = []

    def step(self, title: str) -> None:
        """Begin a step."""
        self._number += 1
        self._title, self._began = title, time.monotonic()
        self._rest, self._tail = b"", []
        self.say(title)

    def say(self, text: str) -> None:
        """Print a line of the step."""
        sys.stderr.write(f"#{self._number} {text}\n")
        sys.stderr.flush()

    def note(self, text: str) -> None:
        """Say what the lab does otherwise than docker."""
        self.say(f"lab: {text}")

    def output(self, data: bytes) -> None:
        """Print what a RUN prints."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        shown = f"{time.monotonic() - self._began:.3f} {text}"
        self._tail = [*self._tail, shown][-_TAIL:]
        self.say(shown)

    def done(self) -> None:
        """End a step."""
        self._flush()
        self.say(f"DONE {time.monotonic() - self._began:.1f}s")
        sys.stderr.write("\n")

    def failed(self, message: str) -> None:
        """End the step with an error."""
        self._flush()
        self.say(f"ERROR: {message}")
        if self._tail:
            lines = "\n".join(self._tail)
            sys.stderr.write(f"------\n > {self._title}:\n{lines}\n------\n")

    def _flush(self) -> None:
        if self._rest:
            self._line(self._rest)
            self._rest = b""


def excerpt(name: str, text: str, line: int) -> str:
    """The lines of a Dockerfile around one, as docker shows them with an error."""
    lines = text.splitlines()
    first = max(0, line - 1 - _AROUND)
    shown = [
        f"{number:4} | {'>>>' if number == line else '   '} {content}"
        for number, content in enumerate(lines[first : line + _AROUND], first + 1)
    ]
    rule = "-" * 20
    return "\n".join([f"{name}:{line}", rule, *shown, rule])
