"""An ssh that stays open, and is asked from time to time whether it still works."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from typing import Final

from tests.e2e.labs import Lab

PUMPED: Final = "-oProxyUseFdpass=no"
ALONE: Final[Mapping[str, str]] = {"SM_PROXY_DAEMON_IDLE": "0"}
"""With these variables, ssh is served by no daemon."""
WAYS: Final[Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]]] = {
    "daemon": ((), {}),
    "daemon, pumped": ((PUMPED,), {}),
    "alone": ((), ALONE),
    "alone, pumped": ((PUMPED,), ALONE),
}
"""Who carries the bytes of an ssh: its options and variables."""


class Held:
    """An open ssh whose remote program is `cat`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._said = 0

    def works(self) -> bool:
        """Whether a line comes back."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._said += 1
        line = b"%d\n" % self._said
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line)
            return self._process.stdout.readline() == line
        return False

    def end(self) -> tuple[int, bytes]:
        """End it; its exit status and what it has printed on stderr."""
        _, err = self._process.communicate(timeout=60)
        return self._process.returncode, err


@contextlib.contextmanager
def held(lab: Lab, config: str, way: str) -> Iterator[Held]:
    """An ssh that is connected; it ends with the block.

    Args:
        lab: where.
        config: of ssh.
        way: one of `WAYS`.
    """
    options, variables = WAYS[way]
    pipe = subprocess.PIPE
    words = ("ssh", "-F", config, *options, lab.host, "cat")
    process = lab.popen(
        *words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=dict(variables)
    )
    with process:
        try:
            found = Held(process)
            assert found.works(), found.end()
            yield found
        finally:
            process.kill()
