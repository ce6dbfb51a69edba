"""Run the user's command with our endpoint: its terminal, signals and exit status are its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any, Final

from sm_proxy.local import debug_log, waits

ENDPOINT: Final = "AWS_ENDPOINT_URL_SAGEMAKER"
_IGNORE: Final = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
_ENDPOINTS: Final = "AWS_ENDPOINT_URL"
_HOST: Final = "127.0.0.1"
NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
"""The exit statuses of shells for these."""
SIGNALLED: Final = 128
"""An exit status above it means that a signal ended the command."""
_TYPED: Final = ("SIGINT", "SIGQUIT")
"""The terminal sends these to the whole foreground group, so the command has them already."""
_SENT: Final = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""With the signals by which a batch system announces the end of the time."""


def environment(
    variables: Mapping[str, str], url: str, *, endpoints: bool = True
) -> dict[str, str]:
    """The command's environment.

    Args:
        variables: our own environment.
        url: of the endpoint.
        endpoints: False: the user wants SDKs to ignore configured endpoints.
    """
    found = dict(variables)
    if not endpoints:
        # From now on endpoints count, but these must stay without effect.
        found = {name: found[name] for name in found if not name.startswith(_ENDPOINTS)}
    found |= {ENDPOINT: url, _IGNORE: "false"}
    if not any(name.lower().endswith("_proxy") for name in variables):
        # A program that finds any of these variables ignores the system's proxies.
        for scheme, proxy in urllib.request.getproxies().items():
            found[f"{scheme.upper()}_PROXY"] = proxy
    for name in ("NO_PROXY",) if sys.platform == "win32" else ("NO_PROXY", "no_proxy"):
        others = found.get(name) or variables.get(name.swapcase(), "")
        if others.strip() != "*":
            found[name] = f"{others},{_HOST}" if others else _HOST
    return found


def run(words: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a command to its end. Its exit status; 128 + n if signal n ended it.

    Args:
        words: the program and its arguments.
        variables: its environment.

    Raises:
        OSError: it cannot be started.
    """
    # Windows finds a script such as `aws.cmd` by its full path only.
    program = shutil.which(words[0]) if sys.platform == "win32" else None
    with waits.terminal_lent(), _Relay() as relay:
        process = subprocess.Popen([program or words[0], *words[1:]], env=dict(variables))
        relay.attach(process)
        status = process.wait()
    return SIGNALLED - status if status < 0 else status


class _Relay:
    """While entered, passes signals on to a process, and does not die of them."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Relay:  # noqa: PYI034 - Self is 3.11
        """Install the handlers. A signal that is ignored stays so, for the process as well."""
        for name in (*_TYPED, *_SENT):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                # A function: unlike SIG_IGN, the process does not inherit it.
                self._before[number] = signal.signal(number, self._pass_on)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def attach(self, process: subprocess.Popen[bytes]) -> None:
        """Pass signals on to this process; also those that came while it was being started."""
        self._process = process
        while self._early:
            process.send_signal(self._early.pop(0))

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del frame
        name = signal.Signals(number).name
        if sys.platform == "win32" or (name in _TYPED and _in_foreground()):
            return
        debug_log.write("passed a signal on", signal=name)
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


def _in_foreground() -> bool:
    """Whether our process group, which is the command's too, is the one that ^C reaches."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
