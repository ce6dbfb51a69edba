"""What the user's shell runs and prints before our ProxyCommand.

ssh starts a ProxyCommand by the user's shell, with a socket as stdin and stdout if it passes a
descriptor (`ProxyUseFdpass`). bash takes a socket as stdin for a remote login, and reads
`~/.bashrc`, unless another shell started ssh (bash's shell.c: `run_startup_files`; SHLVL). So this
concerns the ssh of desktop programs, such as editors. What the file prints goes to ssh, which
expects a descriptor there and fails.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError

_DEADLINE_S: Final = 10.0
_BASHRC: Final = "~/.bashrc"


def silent(context: Context) -> str:
    """Bash prints nothing for ssh before our ProxyCommand begins."""
    shell = os.environ.get("SHELL", "")
    passes = context.effective.get("proxyusefdpass", ["no"]) == ["yes"]
    if sys.platform == "win32" or not passes:
        raise SkipCheck("ssh does not get a descriptor from our ProxyCommand")
    if Path(shell).name != "bash":
        raise SkipCheck(f"{shell or 'the shell'} reads no startup file of bash")
    printed, seconds = _run(shell)
    if printed:
        raise SmProxyError(
            "unsupported",
            f"{_BASHRC} prints text even without a terminal: ssh fails in programs that no shell "
            "has started, such as editors",
            f"Put this at the top of {_BASHRC}: case $- in *i*) ;; *) return ;; esac; or run: "
            "sm-proxy config write --no-fdpass",
        )
    return f"{_BASHRC} prints nothing for ssh (it takes {seconds * 1e3:.0f} ms in editors)"


def _run(shell: str) -> tuple[bool, float]:
    """Start the shell as the ssh of an editor would: whether it printed, and its seconds."""
    environment = {name: value for name, value in os.environ.items() if name != "SHLVL"}
    near, far = socket.socketpair()
    began = time.monotonic()
    with near, far:
        try:
            subprocess.run(
                [shell, "-c", "exec true"],
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=_DEADLINE_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SmProxyError(
                "unsupported",
                f"{shell} -c true does not end: {type(error).__name__}",
                f"Look at {_BASHRC}: ssh waits for it in programs that no shell has started.",
            ) from None
        seconds = time.monotonic() - began
        near.setblocking(False)
        try:
            return bool(near.recv(1)), seconds
        except BlockingIOError:
            return False, seconds
