"""Commands in one of a lab's terminals, and their times."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

LIMIT_S: Final = 300.0


class Terminal:
    """A process in one of the lab's terminals that runs and times commands there.

    Args:
        prefix: the terminal's command prefix; empty for the laptop.
    """

    def __init__(self, prefix: str) -> None:
        self._process = subprocess.Popen(
            [*shlex.split(prefix), sys.executable, "-m", "bench.terminal"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, command: Sequence[str], environment: Mapping[str, str]) -> float:
        """The time of a command with these further variables.

        Raises:
            RuntimeError: it failed.
        """
        return self.seconds_together([command], environment)

    def seconds_together(
        self, commands: Sequence[Sequence[str]], environment: Mapping[str, str]
    ) -> float:
        """The time of several commands that start at once, until the last one has ended.

        Raises:
            RuntimeError: one of them failed.
        """
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        assert self._process.stdout is not None  # noqa: S101 - as above
        self._process.stdin.write(json.dumps([commands, dict(environment)]) + "\n")
        self._process.stdin.flush()
        taken, said = json.loads(self._process.stdout.readline())
        if taken is None:
            raise RuntimeError(said)
        return float(taken)

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=LIMIT_S)


def spread(found: Sequence[float], digits: int = 3) -> str:
    """The median, and the quartiles around it."""
    lower, middle, upper = statistics.quantiles(found, n=4, method="inclusive")
    width = 6 if digits else 5
    return f"{middle:{width}.{digits}f} (half within {lower:.{digits}f} to {upper:.{digits}f})"


def serve() -> None:
    """Run the commands that stdin names, and print the time of each line."""
    for line in sys.stdin:
        commands, environment = json.loads(line)
        began = time.perf_counter()
        started = [_start(command, environment) for command in commands]
        said = [process.communicate(timeout=LIMIT_S)[1] for process in started]
        taken = time.perf_counter() - began
        failed = any(process.returncode for process in started)
        print(json.dumps([None if failed else taken, "".join(said)]), flush=True)


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


if __name__ == "__main__":
    serve()
